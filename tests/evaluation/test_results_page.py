import json

import pytest

from lbwdet.errors import DataError
from lbwdet.evaluation.results_page import benchmark_table, experiment_tables, update_pages

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
    return [cells for cells in rows if cells[0] != "model"]


def test_means_spreads_and_paired_differences(experiment):
    # 4 bits: seed 0 -2.0, seed 1 +1.0 points: mean -0.5, standard deviation 3/sqrt(2) = 2.12.
    # The spread of the differences is not that of the means: pairs share their seed.
    assert table_rows(experiment_tables(experiment)) == [
        ["fp32, from random weights", "32", "1,235", "82.0 ± 2.8", "84.0 ± 2.8", "", "0, 1"],
        ["fp32-finetuned", "32", "1,235", "84.0 ± 1.4", "87.5 ± 0.7", "", "0, 1"],
        ["4bit", "4", "154", "83.5 ± 0.7", "87.0 ± 0.0", "-0.5 ± 2.1", "1, 0"],
        ["2bit", "2", "77", "80.0", "81.0", "-5.0", "0"],
        ["4bit", "4", "154", "77.5 ± 3.5", "78.5 ± 3.5", "-4.5 ± 0.7", "0, 1"],
    ]


def test_says_how_it_was_measured(experiment):
    experiment["rows"][0]["commit"] += "-dirty"
    experiment["rows"][1]["commit"] = None
    text = experiment_tables(experiment)
    assert "(2 epochs after the float model's 12)" in text
    assert "cells, 72 test images" in text and "32 channels" in text and "CPU Some CPU" in text
    assert "commit 0123456789ab, 0123456789ab-dirty, unknown." in text


def test_a_seed_without_its_partner_has_no_difference(experiment):
    experiment["rows"] = [r for r in experiment["rows"] if r["variant"] != "fp32-finetuned"]
    assert ["4bit", "4", "154", "83.5 ± 0.7", "87.0 ± 0.0", "", "1, 0"] in table_rows(
        experiment_tables(experiment)
    )


def test_an_experiment_that_has_just_begun():
    rows = [row("scratch", "fp32", 0, 0.8, 0.82)]
    text = experiment_tables(dict(dataset="cells", width=32, rows=rows))
    assert len(table_rows(text)) == 1


def test_figures_of_any_kind():
    table = benchmark_table(dict(step_ms=dict(float=1234.5678, p10=2), name="x", share=0.0412345))
    assert table.splitlines()[2:] == [
        "| step ms | float 1235, p10 2 |",
        "| name | x |",
        "| share | 0.04123 |",
    ]


@pytest.fixture
def page(tmp_path, experiment):
    results = tmp_path / "results"
    results.mkdir()
    (results / "cells.json").write_text(json.dumps(experiment))
    (results / "cost.json").write_text(json.dumps(dict(share=0.5)))
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    return page


def test_fills_the_blocks_and_leaves_the_rest(page):
    update_pages([page], page.parent / "results")
    text = page.read_text()
    assert "| 4bit | 4 |" in text and "| share | 0.5 |" in text and "old" not in text
    outside = PAGE.replace("\nold\n", "\n").split("<!-- end -->")
    parts = text.split("<!-- end -->")
    assert len(parts) == 3 and parts[2] == outside[2]
    assert parts[0].startswith(outside[0]) and parts[1].startswith(outside[1])
    update_pages([str(page)], str(page.parent / "results"))
    assert page.read_text() == text


def test_a_comparison_is_a_table_too(page, compared):
    (page.parent / "results" / "cost.json").write_text(json.dumps(compared.json))
    update_pages([page], page.parent / "results")
    assert "| 6bit $x_1 " in page.read_text()


def test_nothing_is_written_if_anything_is_missing(page):
    (page.parent / "results" / "cost.json").unlink()
    with pytest.raises(DataError, match=r"page\.md: table 'cost' needs .*cost\.json, which is not"):
        update_pages([page], page.parent / "results")
    other = page.with_name("other.md")
    other.write_text("<!-- table cells -->\n<!-- end -->\n")
    with pytest.raises(DataError, match=r"nowhere\.md: no such page"):
        update_pages([other, page.with_name("nowhere.md")], page.parent / "results")
    assert page.read_text() == PAGE and "4bit" not in other.read_text()
