import pytest

from lbwdet.studies.bulk_report import markdown, plan


def run(rate, start):
    return dict(images_per_second=rate, lowest=rate - 1, highest=rate + 1, start_s=start)


@pytest.fixture
def content():
    return dict(
        study="bulk",
        artifact=dict(name="a.lbw", bytes=730_000),
        images=320,
        image_bytes=50_000.0,
        boxes=2.5,
        row_bytes=100.0,
        score_threshold=0.3,
        shard_size=16,
        rounds=3,
        runs={"loop": run(25.0, 0.1), "0": run(20, 0.2), "1": run(16, 5), "2": run(30, 6)},
        listed_per_second=dict(folder=100_000.0, tar=50_000.0),
        machine=dict(cpu="some CPU", cores=2, load=[0.25, 1.0]),
        commit="0123456789abcdef",
    )


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_what_ray_adds(content):
    lines = markdown(content).splitlines()
    assert cells(lines[2])[1:] == ["25.0", "24.0 to 26.0", "40.0", "0.1"]
    assert cells(lines[4])[1:] == ["16.0", "15.0 to 17.0", "62.5", "5.0"]
    note = next(line for line in lines if line.startswith("Rows"))
    assert "add +10.0 ms to an image of the loop's, Ray +12.5 ms to that" in note
    assert "two workers do 1.88 times one's images" in note
    assert "load 0.2 before and 1.0 after; commit 0123456789ab." in note


def test_the_plan_follows_from_the_measured_rate(content):
    text = plan(content)
    # 10^9 images / (15 a second and core * 64 cores) = 289.4 hours.
    assert cells(text.splitlines()[2]) == ["64", "289.4", "960", "48", "0.1"]
    assert "18,519 core hours, 50 TB to read, 100 GB of rows in 100,000 files" in text
    assert "50,000 images a second, which is 5.6 hours" in text
