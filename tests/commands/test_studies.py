import pytest

from lbwdet.cli import main
from lbwdet.studies.experiment import ExperimentSettings
from lbwdet.studies.mu_sweep import SweepSettings

SWEEP = "lbwdet.studies.mu_sweep:sweep_mu"
WALK = "lbwdet.studies.zoo.walk:walk"


def test_experiment(asked):
    target = "lbwdet.studies.experiment:run_experiment"
    call = asked(target, {}, "experiment", "bccd", "--seeds", "1", "2", "--variants", "4bit")
    assert (call["name"], call["out"], call["work_dir"]) == ("bccd", None, None)
    assert call["settings"] == ExperimentSettings([1, 2], ["4bit"], threads=2)


@pytest.mark.parametrize("flag", ["--bit-widths", "--bit-width"])
def test_sweep_mu(asked, flag, monkeypatch):
    monkeypatch.setattr("lbwdet.studies.mu_sweep_report.markdown", str)
    call = asked(SWEEP, {}, "sweep-mu", "a.py", "b.pth", flag, "3", "4", "--mu", "0.5")
    assert (call["settings"], call["out_dir"]) == (
        SweepSettings([3, 4], [0.5], "paper"),
        "work_dirs/sweep_mu",
    )
    call = asked(SWEEP, {}, "sweep-mu", "a.py", "b.pth")
    assert call["settings"] == SweepSettings([3, 4, 5, 6])


def test_study(asked, monkeypatch, capsys):
    monkeypatch.setattr("lbwdet.studies.ste.markdown", str)
    call = asked("lbwdet.studies.ste:run_study", {}, "study", "ste", "--seed", "3")
    assert call == dict(out_dir="docs/studies", samples=200_000, seed=3)
    assert "Figures and ste.json: docs/studies" in capsys.readouterr().out


def test_zoo(asked, monkeypatch):
    monkeypatch.setattr("lbwdet.studies.zoo.page.summary", str)
    call = asked(WALK, {}, "zoo", "--filter", "yolo/*", "--jobs", "2", "--retry")
    assert list(call.values()) == ["docs/results/zoo.json", "yolo/*", 2, 300, True]
    call = asked("lbwdet.studies.zoo.page:write_page", None, "zoo", "--page", "zoo.md")
    assert call == dict(results="docs/results/zoo.json", page="zoo.md")


def test_results(asked):
    target = "lbwdet.studies.results_page:update_pages"
    pages = ["README.md", "docs/results.md"]
    assert asked(target, None, "results") == dict(pages=pages, results="docs/results")
    call = asked(target, None, "results", "a.md", "--results", "d")
    assert call == dict(pages=["a.md"], results="d")


@pytest.mark.parametrize(
    "arguments",
    [
        ["study", "dorefa"],
        ["study", "ste", "--seed", "-1"],
        ["sweep-mu", "a.py", "b.pth", "--code", "packed"],
        ["zoo", "--jobs", "0"],
        ["experiment", "bccd", "--seeds", "one"],
    ],
)
def test_usage_errors(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2 and f"usage: lbwdet {arguments[0]}" in capsys.readouterr().err
