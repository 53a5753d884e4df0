import json

import pytest

from lbwdet.cli import main
from lbwdet.errors import DataError
from lbwdet.studies.zoo.page import deployment_summary, page_text, summary, write_page


def entry(config: str, outcome: str | None, reason: str | None = None, model: str = "m") -> dict:
    found = dict(config=config, family=config.split("/")[0], model=model, reason=reason)
    return found | (dict(outcome=outcome) if outcome else {})


CONTENT = dict(
    about="How.",
    weight=dict(bit_width=4, code="dense"),
    commit="abc",
    cpu="a CPU",
    versions=dict(mmdet="3.3.0", torch="2"),
    configs=[
        entry("a/one.py", "runs"),
        entry("a/same.py", "runs"),
        entry("a/two.py", "fails in float", "build: no\n   package", model="n"),
        entry("b/none.py", "no model"),
        entry("b/one.py", "fails quantized", "loss: broken"),
        entry("b/part.py", "runs in part", "predict: CUDA"),
        entry("c/later.py", None),
    ],
)


def test_page():
    text = page_text(CONTENT)
    cells = [line[1:-1].split("|") for line in text.splitlines() if " | " in line]
    rows = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in cells}
    assert rows["family"][:3] == ["configs", "models", "runs"]
    assert rows["a"][:5] == ["3", "2", "2", "", "1"]
    assert rows["**all**"][:2] == ["6", "2"]
    assert "- 1 config: `build: no package` (a/two.py)" in text
    assert text.index("## Fails quantized") < text.index("## Fails in float")
    assert "from 6 configs" in text and "Commit: abc." in text


MEASURED = ("real_error", "map_error", "matched", "score_difference")


def deployed(name: str, why: str | None = None, **changes: object) -> dict:
    found = dict(model=name[:5], step="run", ok=not why, boxes=not why, masks=None, reason=why)
    measured = None if why else 0.5
    found |= dict.fromkeys(MEASURED, measured)
    return entry(name, "runs") | dict(deployed=found | changes)


def test_deployed():
    erf = "cannot be lowered: there is no rule for erf; there are rules for"
    configs = [
        deployed("a/one.py"),
        deployed("a/one_2x.py"),
        deployed("a/two.py", map_error=0.25, step="lower"),
        deployed("b/masks.py", masks=False, ok=False),
        deployed("b/one.py", f"neck.a {erf} add"),
        deployed("b/two.py", f"neck.b {erf} add"),
        entry("c/fails.py", "fails in float", "no"),
    ]
    made = dict(about="So.", commit="d", cpu="c", versions=CONTENT["versions"])
    content = dict(CONTENT, configs=configs, deployment=made)
    text = page_text(content).partition("## Deployed")[2]
    cells = [line[1:-1].split("|") for line in text.splitlines() if " | " in line]
    rows = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in cells}
    assert rows["a"] == ["3", "2", "2", "1", "", "", "0.5", "0.5", "0.5", "0.5"]
    assert rows["b"] == ["3", "3", "", "", "1", "2", "0.5", "0.5", "0.5", "0.5"]
    assert rows["**all**"][:2] == ["6", "5"] and "c" not in rows
    assert "\n\nTried so far: 6 of the 6 configs whose models run.\n\n" in text
    assert "- 2 configs, 2 models: `there is no rule for erf` (b/one.py, b/two.py)" in text
    assert (
        deployment_summary(content).splitlines()[-1] == "   2 (2 models) there is no rule for erf"
    )


def test_nothing_failed():
    text = page_text(dict(CONTENT, configs=CONTENT["configs"][:2]))
    assert "## " not in text


def test_summary():
    lines = summary(CONTENT).splitlines()
    assert lines[0].startswith("   2 runs: ") and lines[-1].startswith("   1 not tried: ")


def test_command(tmp_path):
    (tmp_path / "zoo.json").write_text(json.dumps(CONTENT))
    page = tmp_path / "zoo.md"
    assert main(["zoo", "--out", str(tmp_path / "zoo.json"), "--page", str(page)]) == 0
    assert page.read_text() == page_text(CONTENT)


@pytest.mark.parametrize("text", ["", "{}", None])
def test_no_results(tmp_path, text):
    if text is not None:
        (tmp_path / "zoo.json").write_text(text)
    with pytest.raises(DataError, match="no results of `lbwdet zoo`"):
        write_page(tmp_path / "zoo.json", tmp_path / "zoo.md")
    assert not (tmp_path / "zoo.md").exists()
