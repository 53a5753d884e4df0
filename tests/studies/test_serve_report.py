from lbwdet.studies.serve_report import markdown


def times(p50):
    return dict(p50_ms=p50, p99_ms=3 * p50, mean_ms=p50 + 1, count=1200)


def test_a_row_for_each_way_and_what_came_of_it():
    text = markdown(
        dict(
            model="a.lbw",
            commit="0123456789abcdef",
            cpu="some CPU",
            cores=2,
            machine_load=[0.25, 1.0],
            workers=1,
            threads=2,
            clients=20,
            seconds=600,
            images=40,
            largest_image=[1080, 1920],
            direct=times(10.0),
            alone=times(11.0),
            loaded=times(200.0),
            images_per_second=42.25,
            statuses={"200": 25_000, "400": 7, "429": 3},
            left=5,
            lost=0,
            wrong=0,
            memory=dict(quarters=[80e6, 81e6, 81e6, 81e6], peak=90e6),
        )
    )
    lines = text.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:5]]
    assert cells[0] == ["direct calls: file in, JSON out", "10.0", "30.0", "11.0", "1,200"]
    assert cells[2][:2] == ["20 clients at once", "200.0"]
    for part in (
        "for 600 seconds: 25,000 answers with boxes (42.2 a second)",
        "7 x 400, 3 x 429, as each had to be; 5 clients left",
        "80.0 / 81.0 / 81.0 / 81.0 MB, at most 90.0",
        "up to 1920 x 1080; 1 worker(s) of 2 thread(s)",
        "load 0.2 before and 1.0 after; commit 0123456789ab.",
    ):
        assert part in text
