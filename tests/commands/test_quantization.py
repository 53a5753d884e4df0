import argparse

import pytest

from lbwdet.bit_plan.inspection import MEASURES, SORTS, InspectSettings
from lbwdet.bit_plan.planning import PlanSettings
from lbwdet.cli import COMMANDS, main

CONFIG = "lbwdet.bit_plan.quantized_config"
INSPECT = "lbwdet.bit_plan.inspection:inspect_model"
PLAN = "lbwdet.bit_plan.planning:plan_bits"
WRITTEN = dict(layers=[1, 2], float_weights={"fc": 1000}, float_bytes=4e6, weight_bytes=5e5)


@pytest.fixture(autouse=True)
def no_tables(monkeypatch):
    monkeypatch.setattr("lbwdet.bit_plan.inspection.markdown", lambda *arguments: "table")
    monkeypatch.setattr("lbwdet.bit_plan.planning.markdown", lambda *arguments: "table")


def test_quantize(asked, capsys, monkeypatch):
    monkeypatch.setattr("lbwdet.export.deployability", lambda config: f"{config} can be deployed")
    line = ["quantize", "a.py", "--bit-width", "4", "--out", "q.py", "--keep-float", "fc*"]
    call = asked(f"{CONFIG}:write_quantized_config", WRITTEN, *line)
    assert call["weight"] == dict(bit_width=4, code="dense", granularity="tensor")
    assert (call["config"], call["out"], call["keep_float"]) == ("a.py", "q.py", ["fc*"])
    assert capsys.readouterr().out.splitlines() == [
        "q.py: 2 layers at 4 bits, 1,000 values of other weights float; "
        "4.00 MB in float, 0.50 MB quantized",
        "q.py can be deployed",
        "Train it: lbwdet train q.py",
    ]
    asked(f"{CONFIG}:write_quantized_config", WRITTEN, *line, "--no-deploy-check")
    assert "deployed" not in capsys.readouterr().out
    monkeypatch.setattr(f"{CONFIG}.write_quantized_config", lambda *a, **options: WRITTEN)
    line += ["--checkpoint", "b.pth", "--num-images", "9", "--data-root", "r"]
    call = asked(f"{CONFIG}:float_and_quantized_map", (0.5, 0.25), *line)
    assert list(call.values()) == ["a.py", "q.py", "b.pth", 9, "r"]
    assert "mAP without training: 0.500 float, 0.250 quantized\n" in capsys.readouterr().out


def test_inspect(asked, capsys):
    call = asked(INSPECT, {}, "inspect", "a.py")
    assert (call["checkpoint"], call["settings"]) == (None, InspectSettings(bit_widths=[]))
    assert capsys.readouterr().out == "table\n"
    line = ["inspect", "a.py", "b.pth", "--bit-width", "4", "--bit-widths", "2", "3"]
    call = asked(INSPECT, {}, *line, "--num-images", "5", "--data-root", "r")
    weight = dict(bit_width=4, code="dense", granularity="tensor")
    assert call["settings"] == InspectSettings(
        weight, bit_widths=[2, 3], num_images=5, data_root="r"
    )


def test_allocate(asked):
    call = asked(PLAN, {}, "allocate", "a.py", "b.pth", "--average-bits", "3", "--out", "m.py")
    weight, widths = dict(code="dense", granularity="tensor"), [2, 3, 4, 6]
    settings = PlanSettings(average_bits=3, bit_widths=widths, weight=weight)
    assert call == dict(config="a.py", checkpoint="b.pth", out="m.py", settings=settings)
    line = ["allocate", "a.py", "b.pth", "--budget-mb", "1", "--out", "m.py", "--map-images", "0"]
    call = asked(PLAN, {}, *line, "--data-root", "r")
    settings = PlanSettings(
        budget_mb=1, bit_widths=widths, weight=weight, map_images=0, data_root="r"
    )
    assert call["settings"] == settings


def test_choices_are_those_of_the_library():
    parser = argparse.ArgumentParser()
    COMMANDS["inspect"][0](parser)
    choices = {action.dest: action.choices for action in parser._actions if action.choices}
    assert choices["sort"] == SORTS and set(choices["sensitivity"]) == set(MEASURES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--refine", "500"], "--refine belongs to --post-training"),
        (["--from-low-bit"], "--from-low-bit belongs to --post-training"),
        (["--num", "192"], "--num belongs to --post-training"),
        (["--activations", "channel"], "--activations belongs to --post-training"),
    ],
)
def test_what_would_do_nothing_is_refused(options, message, capsys):
    assert main(["quantize", "a.py", "--bit-width", "4", "--out", "q.py", *options]) == 2
    assert message in capsys.readouterr().err
    line = ["quantize", "a.py", "--norms-only", "--post-training", "train", "--checkpoint", "b"]
    if options[0] != "--num":
        assert main([*line, *options]) == 2
        assert "does nothing with --norms-only" in capsys.readouterr().err
    assert main(["inspect", "a.lbw", "--out-dir", "d"]) == 2
    assert "--out-dir: a.lbw is printed" in capsys.readouterr().err
