import json
from pathlib import Path

import pytest

from lbwdet.errors import DataError
from lbwdet.studies.results_page import (
    cost_table,
    experiment_tables,
    training_step_table,
    update_pages,
)

PAGE = """# Results

Above.

<!-- table cells -->
old
<!-- end -->

Between <!-- not a table --> `<!-- table` of it.

<!-- table cost -->
<!-- end -->
Below.
"""


def row(kind: str, variant: str, seed: int, eleven: float, area: float, bits: int = 32) -> dict:
    return dict(
        kind=kind,
        variant=variant,
        seed=seed,
        mAP_11point=eleven,
        mAP_area=area,
        bit_width=bits,
        weight_bytes=1_234_567 * bits // 32,
        epochs=12 if kind == "scratch" else 2,
        num_images=72,
        commit="0123456789abcdef0123456789abcdef01234567",
        cpu="Some CPU",
    )


@pytest.fixture
def experiment() -> dict:
    return dict(
        dataset="cells",
        width=32,
        rows=[
            row("scratch", "fp32", 0, 0.80, 0.82),
            row("scratch", "fp32", 1, 0.84, 0.86),
            row("trained", "fp32-finetuned", 0, 0.85, 0.88),
            row("trained", "fp32-finetuned", 1, 0.83, 0.87),
            row("trained", "4bit", 1, 0.84, 0.87, bits=4),  # in no particular order
            row("trained", "4bit", 0, 0.83, 0.87, bits=4),
            row("trained", "2bit", 0, 0.80, 0.81, bits=2),
            row("rounded", "4bit", 0, 0.75, 0.76, bits=4),
            row("rounded", "4bit", 1, 0.80, 0.81, bits=4),
        ],
    )


def table_rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [cells for cells in rows if cells[0] != "model" and not cells[0].startswith("---")]


def test_means_spreads_and_paired_differences(experiment):
    # 4 bits: seed 0 -2.0, seed 1 +1.0 points: mean -0.5, standard deviation 3/sqrt(2) = 2.12.
    # The spread of the differences is not that of the means: pairs share their seed.
    assert table_rows(experiment_tables(experiment)) == [
        ["fp32, from random weights", "32", "1,235", "82.0 ± 2.8", "84.0 ± 2.8", "", "", "0, 1"],
        ["fp32-finetuned", "32", "1,235", "84.0 ± 1.4", "87.5 ± 0.7", "", "", "0, 1"],
        ["4bit", "4", "154", "83.5 ± 0.7", "87.0 ± 0.0", "-0.5 ± 2.1", "-0.5 ± 0.7", "0, 1"],
        ["2bit", "2", "77", "80.0", "81.0", "-5.0", "-7.0", "0"],
        ["4bit", "4", "154", "77.5 ± 3.5", "78.5 ± 3.5", "-4.5 ± 0.7", "-5.5 ± 0.7", "0, 1"],
    ]


def test_a_published_detector_and_what_was_chosen_by_images_without_training():
    rows = [
        row("published", "fp32", 0, 0.70, 0.71),
        row("projected", "4bit", 0, 0.66, 0.68, bits=4),
        row("trained", "fp32-finetuned", 0, 0.72, 0.73),
        row("trained", "fp32-finetuned", 1, 0.71, 0.72),
        row("trained", "4bit", 1, 0.70, 0.70, bits=4),
    ]
    text = experiment_tables(dict(dataset="cells", detector="yolox_nano", width=64, rows=rows))
    assert table_rows(text) == [
        ["fp32, as published", "32", "1,235", "70.0", "71.0", "", "", "0"],
        ["fp32-finetuned", "32", "1,235", "71.5 ± 0.7", "72.5 ± 0.7", "", "", "0, 1"],
        ["4bit", "4", "154", "70.0", "70.0", "-1.0", "-2.0", "1"],
        ["4bit", "4", "154", "66.0", "68.0", "-4.0", "-3.0", "0"],
    ]
    assert "by labels (2 epochs), or at low bits towards its outputs (2 epochs);" in text
    assert "Rounded" not in text
    assert "72 test images, YOLOX-Nano with weights from COCO, IoU" in text


def test_levels_of_the_float_model_trained_on_are_compared_with_it():
    rows = [
        row("scratch", "fp32", 0, 0.70, 0.71),
        row("trained", "fp32-finetuned", 0, 0.72, 0.73),
        dict(row("projected", "4bit", 0, 0.71, 0.71, bits=4), of="fp32-finetuned"),
    ]
    text = experiment_tables(dict(dataset="cells", width=64, rows=rows))
    assert ["4bit", "4", "154", "71.0", "71.0", "-1.0", "-2.0", "0"] in table_rows(text)
    assert (
        "of the float model trained on, and not trained after it; difference: to that one" in text
    )
    assert "those trained on start from" not in text


def test_a_backbone_that_brings_its_weights_is_not_called_random():
    rows = [row("scratch", "fp32", 0, 0.35, 0.36)]
    text = experiment_tables(dict(dataset="cells", detector="frcnn_lite0", width=64, rows=rows))
    assert "| fp32, from ImageNet's weights |" in text and "EfficientNet-Lite0, IoU" in text


def test_says_how_it_was_measured(experiment):
    experiment["rows"][0]["commit"] += "-dirty"
    experiment["rows"][1]["commit"] = None
    text = experiment_tables(experiment)
    assert "(2 epochs after the float model's 12)" in text
    assert "cells, 72 test images" in text and "32 channels" in text and "CPU Some CPU" in text
    assert "commit 0123456789ab, 0123456789ab-dirty, unknown." in text


def test_a_seed_without_its_partner_has_no_difference(experiment):
    experiment["rows"] = [r for r in experiment["rows"] if r["variant"] != "fp32-finetuned"]
    assert ["4bit", "4", "154", "83.5 ± 0.7", "87.0 ± 0.0", "", "", "0, 1"] in table_rows(
        experiment_tables(experiment)
    )


def test_an_experiment_that_has_just_begun():
    rows = [row("scratch", "fp32", 0, 0.8, 0.82)]
    text = experiment_tables(dict(dataset="cells", width=32, rows=rows))
    assert len(table_rows(text)) == 1
    assert text.startswith("The float model (12 epochs), not trained on.\n")
    rows += [row("trained", "fp32-finetuned", 0, 0.8, 0.82)]
    text = experiment_tables(dict(dataset="cells", detector="yolox_nano", width=32, rows=rows))
    assert text.startswith("Trained on from the float model by labels (2 epochs); difference")


def cost() -> dict:
    latency = dict(median=1234.0, p10=1000.0, p90=2000.0)
    share = dict(fake_quantize_ms=dict(median=41.0, p10=40.0, p90=50.0), share_of_float_step=0.0332)
    return dict(
        detector="Faster R-CNN",
        bit_width=6,
        batch_size=1,
        input_size=[600, 1000],
        repeats=3,
        device="cpu",
        threads=2,
        commit="0123456789abcdef",
        torch="2.14.1",
        time=dict(float_step_ms=latency, tensor=share, channel=share),
        memory=dict(float_bytes=4_000_000_000, quantized_bytes=4_400_000_000, ratio=1.1),
    )


def test_cost_table():
    assert table_rows(cost_table(cost())) == [
        ["", "median (p10 to p90)", "against float"],
        ["float training step", "1.23 s (1.00 to 2.00)", "1"],
        *(
            [
                f"projecting every weight once, one exponent per {granularity}",
                "0.04 s (0.04 to 0.05)",
                "3.3 %",
            ]
            for granularity in ("tensor", "channel")
        ),
        ["peak memory, float", "4.00 GB", "1"],
        ["peak memory, 6 bits", "4.40 GB", "1.10"],
    ]


def test_training_step_table():
    latency = dict(median=64.9, p10=57.4, p90=76.8)
    row = dict(detector="YOLOX-Nano", amp=True, batch_size=8, input_size=[416, 416], more=0.224)
    row |= dict(float_ms=latency, low_bit_ms=latency | dict(median=80.2))
    row |= dict(without_graphs_more=0.301, memory=[10**9, 2 * 10**9, 1_904_000_000])
    common = dict(device="A GPU", cpu="A CPU", threads=8, repeats=30, commit=None, torch="2.11")
    further = ["+30.1%", "1.00, 2.00, 1.90 GB"]
    text = training_step_table(dict(common, rows=[row, row | dict(amp=False, more=-0.01)]))
    assert table_rows(text)[1:] == [
        ["YOLOX-Nano", kind, "8 x 416 x 416", "65 (57 to 77)", "80 (57 to 77)", more, *further]
        for kind, more in (("mixed precision", "+22.4%"), ("float32", "-1.0%"))
    ]
    assert "A GPU, A CPU, 8 threads; medians of 30 iterations" in text


@pytest.fixture
def page(tmp_path, experiment):
    results = tmp_path / "results"
    results.mkdir()
    (results / "cells.json").write_text(json.dumps(experiment))
    (results / "cost.json").write_text(json.dumps(cost()))
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    return page


def test_fills_the_blocks_and_leaves_the_rest(page):
    update_pages([page], page.parent / "results")
    text = page.read_text()
    first = [cells[:2] for cells in table_rows(text)]
    assert ["4bit", "4"] in first and ["peak memory, 6 bits", "4.40 GB"] in first
    assert "old" not in text
    outside = PAGE.replace("\nold\n", "\n").split("<!-- end -->")
    parts = text.split("<!-- end -->")
    assert len(parts) == 3 and parts[2] == outside[2]
    assert parts[0].startswith(outside[0]) and parts[1].startswith(outside[1])
    update_pages([str(page)], str(page.parent / "results"))
    assert page.read_text() == text


def test_a_comparison_is_a_table_too(page):
    model = dict(name="6bit $x_1", bit_width=6, mAP_11point=0.5, mAP_area=0.6, weight_bytes=1000)
    model |= dict(float_bytes=5000, engine="torch", latency_ms=None, per_class={})
    compared = dict(models=[model], dataset="set", num_images=3, protocol={}, cpu="C", threads=1)
    (page.parent / "results" / "cost.json").write_text(json.dumps(dict(compared, commit=None)))
    update_pages([page], page.parent / "results")
    assert "| 6bit $x_1 " in page.read_text()


def test_studies_are_tables_too(page):
    rows = [
        dict(bit_width=3, mu=mu, error=0.1, mAP_11point=0.5, mAP_area=0.6) for mu in (0.5, None)
    ]
    sweep = dict(study="mu-sweep", rows=rows, mAP_11point=0.7, mAP_area=0.8, retrain_epochs=0)
    sweep |= dict(config="a.py", code="paper", dataset="b", num_images=1, cpu="c", threads=1)
    (page.parent / "results" / "cost.json").write_text(json.dumps(dict(sweep, commit=None)))
    update_pages([page], page.parent / "results")
    row = ["3", "exact solver", "0.1000", "0.500", "0.600"]
    assert row in table_rows(page.read_text())
    (page.parent / "results" / "cost.json").write_text(json.dumps(dict(study="of nothing")))
    with pytest.raises(DataError, match=r"neither an experiment, .* nor a study"):
        update_pages([page], page.parent / "results")


def test_nothing_is_written_if_anything_is_missing(page):
    (page.parent / "results" / "cells.json").unlink()
    with pytest.raises(
        DataError, match=r"page\.md: table 'cells' needs .*cells\.json, which is not"
    ):
        update_pages([page], page.parent / "results")
    other = page.with_name("other.md")
    other.write_text("<!-- table cost -->\n<!-- end -->\n")
    with pytest.raises(DataError, match=r"nowhere\.md: no such page"):
        update_pages([other, page.with_name("nowhere.md")], page.parent / "results")
    assert page.read_text() == PAGE and "GB" not in other.read_text()


def test_an_empty_block_waits_for_its_file(page, capsys):
    (page.parent / "results" / "cost.json").unlink()
    update_pages([page], page.parent / "results")
    assert "<!-- table cost -->\n<!-- end -->" in page.read_text() and "4bit" in page.read_text()
    assert "table 'cost' needs" in capsys.readouterr().out


def test_a_chart_is_drawn_beside_its_file(tmp_path):
    results = tmp_path / "docs" / "results"
    results.mkdir(parents=True)
    kept = Path(__file__).parents[2] / "docs" / "results" / "bccd_benchmark.json"
    content = json.loads(kept.read_text())
    content["part"]["end_to_end"]["engines"]["native"]["file_bytes"] = 5_385_966
    (results / "cells.json").write_text(json.dumps(content))
    page = tmp_path / "page.md"
    page.write_text("<!-- chart cells -->\n<!-- end -->\n")
    update_pages([page], results)
    text = page.read_text()
    assert 'srcset="docs/results/cells-dark.png"' in text and 'src="docs/results/cells.png"' in text
    for name in ("cells.png", "cells-dark.png"):
        assert (results / name).read_bytes().startswith(b"\x89PNG")
    update_pages([page], results)
    assert page.read_text() == text
    (results / "cells.json").write_text(json.dumps(cost()))
    with pytest.raises(DataError, match="a chart is drawn of a benchmark"):
        update_pages([page], results)
    assert page.read_text() == text


def test_a_benchmark_has_a_short_form(tmp_path):
    results = Path(__file__).parents[2] / "docs" / "results"
    page = tmp_path / "page.md"
    page.write_text("<!-- table bccd_benchmark summary -->\n<!-- end -->\n")
    update_pages([page], results)
    lines = page.read_text().splitlines()
    assert lines[0] == "<!-- table bccd_benchmark summary -->" and lines[-1] == "<!-- end -->"
    engines = json.loads((results / "bccd_benchmark.json").read_text())["part"]["end_to_end"]
    rows = [line for line in lines if line.startswith("|")][2:]
    assert [row.split("|")[1].strip().split(",")[0] for row in rows] == list(engines["engines"])
    assert "7.21x" in rows[-1] and "83.3" in rows[-1] and "boxes in PyTorch" in rows[-2]


def test_so_has_post_training(tmp_path):
    results = Path(__file__).parents[2] / "docs" / "results"
    page = tmp_path / "page.md"
    page.write_text("<!-- table post_training summary -->\n<!-- end -->\n")
    update_pages([page], results)
    assert "peak" not in page.read_text() and "| images " in page.read_text()
