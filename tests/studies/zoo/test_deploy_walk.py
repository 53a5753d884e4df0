import json

import pytest

from lbwdet.cli import main
from lbwdet.errors import ConfigError
from lbwdet.studies.zoo import deploy_walk
from lbwdet.studies.zoo.deploy_walk import conclude, walk_deployment
from lbwdet.studies.zoo.shipped import digest

GOOD = dict(masks=None, map_error=0.05123456, matched=1.0, score_difference=1e-8, reason=None)
NAMES = ["a/one.py", "a/same.py", "a/two.py", "b/masks.py", "b/none.py"]
REASONS = {"two": "neck.x cannot be lowered: there is no rule for erf; there are rules for add"}


@pytest.fixture
def zoo(monkeypatch, tmp_path):
    """Five configs of four kinds in a walk's file, and the models tried, in order."""
    tried: list[tuple[str, str]] = []
    outcomes = dict.fromkeys(NAMES, "runs") | {"b/none.py": "fails in float"}
    entries = [
        dict(config=name, family=name[0], outcome=outcome, reason=None)
        for name, outcome in outcomes.items()
    ]
    out = tmp_path / "zoo.json"
    out.write_text(json.dumps(dict(about="how", configs=entries)))

    def load(name: str, size: int) -> dict:
        assert size == 192
        kind = "one" if "same" in name else name.split("/")[1][:-3]
        return dict(model=dict(type=kind))

    def isolated(subject: dict, step: str, timeout: int) -> dict:
        model = subject["model"]["type"]
        tried.append((model, step))
        found = GOOD | dict(reason=REASONS.get(model), masks=False if model == "masks" else None)
        return conclude(found, "") | dict(step=step, seconds=1.0)

    monkeypatch.setattr(deploy_walk, "shipped_configs", lambda pattern: NAMES)
    monkeypatch.setattr(deploy_walk, "load_deployed", load)
    monkeypatch.setattr(deploy_walk, "isolated_deployment", isolated)
    return tried, out


def deployed(out):
    content = json.loads(out.read_text())
    return {entry["config"]: entry.get("deployed") for entry in content["configs"]}


def test_each_model_once(zoo):
    tried, out = zoo
    content = walk_deployment(out)
    assert tried == [("one", "run"), ("masks", "run"), ("two", "run")]
    assert content == json.loads(out.read_text()) and content["about"] == "how"
    assert set(content["deployment"]) == {"about", "commit", "cpu", "versions"}
    found = deployed(out)
    assert found["b/none.py"] is None and found["a/one.py"] == found["a/same.py"]
    assert found["a/one.py"] == dict(
        model=digest(dict(model=dict(type="one"))),
        parts="one",
        step="run",
        ok=True,
        boxes=True,
        masks=None,
        real_error=None,
        map_error=0.0512,
        matched=1.0,
        score_difference=1e-8,
        reason=None,
        seconds=1.0,
    )
    two, masks = found["a/two.py"], found["b/masks.py"]
    assert (two["ok"], two["boxes"], two["reason"]) == (False, False, REASONS["two"])
    assert (masks["ok"], masks["boxes"], masks["masks"]) == (False, True, False)


def test_goes_on_where_it_was_stopped(zoo):
    tried, out = zoo
    walk_deployment(out, step="lower")
    walk_deployment(out, step="lower")
    assert [step for _, step in tried] == ["lower"] * 3
    walk_deployment(out)  # what was refused stays so
    assert tried[3:] == [("masks", "run"), ("one", "run")]  # what was refused comes last
    walk_deployment(out, step="lower")
    assert len(tried) == 5
    walk_deployment(out, step="lower", retry=True)
    assert tried[5:] == [("masks", "lower"), ("two", "lower")]


def test_a_model_that_changed(zoo, monkeypatch):
    tried, out = zoo
    walk_deployment(out)
    monkeypatch.setattr(
        deploy_walk, "load_deployed", lambda name, size: dict(model=dict(type="new"))
    )
    walk_deployment(out)
    assert tried[3:] == [("new", "run")]
    assert len({entry["model"] for entry in deployed(out).values() if entry}) == 1


def test_before_the_first_walk(zoo, tmp_path):
    with pytest.raises(ConfigError, match=r"a/one.py was not tried yet; run `lbwdet zoo` without"):
        walk_deployment(tmp_path / "new.json")


def test_the_command(zoo, capsys):
    _, out = zoo
    assert main(["zoo", "--deploy=lower", "--out", str(out)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "   2 lowered: can be lowered; not run yet",
        "   1 deployed without masks: as deployed, but for the masks that the detector gives, too",
        "   1 not deployed: refused in one sentence, below",
        "   1 (1 model) there is no rule for erf",
    ]
    assert main(["zoo", "--deploy", "--out", str(out)]) == 0
    assert "   2 deployed: " in capsys.readouterr().out


@pytest.mark.parametrize(
    "found, end, why",
    [
        (dict(doing="lower"), "the process ended with code -9", "lower: the process ended with"),
        ({}, "not done within 5 s", "start: not done within 5 s"),
        (dict(doing="run", reason="no"), "", "no"),
    ],
)
def test_what_broke_off(found, end, why):
    entry = conclude(found, end)
    assert entry["reason"].startswith(why)
    assert (entry["ok"], entry["boxes"], entry["masks"]) == (False, False, None)
