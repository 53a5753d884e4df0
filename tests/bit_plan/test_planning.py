import json

import pytest

from lbwdet.bit_plan.inspection import InspectSettings, inspect_model, write_inspection
from lbwdet.bit_plan.planning import PlanSettings, markdown, plan_bits
from lbwdet.bit_plan.sensitivity import TrainingLoss
from lbwdet.cli import main
from lbwdet.configs import load_config
from lbwdet.errors import ConfigError, DataError
from lbwdet.layers import quantized_layers
from lbwdet.measuring.detectors import build_detector
from lbwdet.measuring.size import weight_size

DENSE = dict(code="dense", granularity="tensor")


@pytest.fixture(scope="module")
def inspected(float_detector, tmp_path_factory):
    """inspect.json of the loss on one image at two and four bits."""
    out = tmp_path_factory.mktemp("inspected")
    weight = dict(bit_width=4, **DENSE)
    settings = InspectSettings(weight, "loss", [2], num_images=1)
    found = inspect_model(float_detector.config, float_detector.checkpoint, settings)
    write_inspection(found, out)
    return out / "inspect.json"


def run(float_detector, out, inspected, **options):
    given = dict(bit_widths=[2, 4], weight=DENSE, num_images=1, inspected=inspected) | options
    return plan_bits(float_detector.config, float_detector.checkpoint, out, PlanSettings(**given))


class TestPlan:
    def test_the_config_is_what_was_measured(self, float_detector, inspected, tmp_path):
        out = tmp_path / "mixed.py"
        planned = run(float_detector, out, inspected, average_bits=3.0)
        cfg = load_config(out)
        model = build_detector(cfg, float_detector.checkpoint)
        bits = {name: layer.quantizer.bit_width for name, layer in quantized_layers(model).items()}
        assert bits == planned["bits"] and set(bits.values()) == {2, 4}
        rows = {row["model"]: row for row in planned["models"]}
        assert rows["allocated"]["bytes"] == weight_size(model).weight_bytes
        assert 2.9 < rows["allocated"]["average_bits"] <= 3.0
        measured = TrainingLoss(cfg, 1)(model) - planned["baseline"]
        assert rows["allocated"]["measured"] == pytest.approx(measured, abs=1e-5)
        assert rows["2bit"]["bytes"] < rows["allocated"]["bytes"] < rows["4bit"]["bytes"]
        assert cfg.load_from == float_detector.checkpoint

    def test_the_file_is_looked_at_before_anything_is_measured(
        self, float_detector, inspected, tmp_path, monkeypatch
    ):
        monkeypatch.setattr("lbwdet.bit_plan.planning.load_quantized", None)
        for out, message in (
            (tmp_path / "plan", "name a file.py"),
            (float_detector.config, "this is the given"),
        ):
            with pytest.raises(ConfigError, match=message):
                run(float_detector, out, inspected, average_bits=3.0)

    def test_a_config_that_is_quantized_is_refused_before_anything_is_measured(
        self, tiny, tmp_path, monkeypatch
    ):
        monkeypatch.setattr("lbwdet.bit_plan.planning.build_measure", None)
        with pytest.raises(ConfigError, match="is quantized already; name the float config"):
            plan_bits(
                tiny.six_bit_config,
                tiny.checkpoint,
                tmp_path / "mixed.py",
                PlanSettings(average_bits=3.0, weight=DENSE),
            )

    def test_a_budget_of_bytes(self, float_detector, inspected, tmp_path):
        half = run(float_detector, tmp_path / "a.py", inspected, average_bits=3.0)
        megabytes = half["models"][1]["bytes"] / 1e6
        same = run(float_detector, tmp_path / "b.py", inspected, budget_mb=megabytes)
        assert 0.99 * megabytes < same["models"][1]["bytes"] / 1e6 <= megabytes

    def test_the_most_damaged_layers_keep_more_bits(self, float_detector, inspected, tmp_path):
        planned = run(float_detector, tmp_path / "a.py", inspected, average_bits=3.5)
        layers = json.loads(inspected.read_text())["layers"]
        small = [entry for entry in layers if entry["bytes"] < 200]
        worst = max(small, key=lambda entry: entry["sensitivity"]["2"] - entry["sensitivity"]["4"])
        assert planned["bits"][worst["name"]] == 4

    def test_table(self, float_detector, inspected, tmp_path):
        table = markdown(
            run(float_detector, tmp_path / "a.py", inspected, average_bits=3.0, map_images=1)
        )
        lines = table.splitlines()
        assert [line.split(" ")[1] for line in lines[2:6]] == ["float", "allocated", "2bit", "4bit"]
        assert lines[0].split()[-2:] == ["mAP", "|"] and "In float the loss is" in lines[-1]


class TestMistakes:
    @pytest.mark.parametrize(
        "options, message",
        [
            (dict(), "give either --budget-mb or --average-bits"),
            (dict(budget_mb=1.0, average_bits=3.0), "give either"),
            (dict(average_bits=float("nan")), "nan is not a positive number"),
            (dict(budget_mb=float("inf")), "inf is not"),
            (dict(budget_mb=0.0), "0.0 is not"),
            (dict(average_bits=3.0, bit_widths=[4, 4]), "give two or more of 1 to 8"),
            (dict(average_bits=1.0), "at the smallest bit widths they take"),
            (dict(average_bits=3.0, measure="map"), "measured loss, not map"),
        ],
    )
    def test_options(self, float_detector, inspected, tmp_path, options, message):
        with pytest.raises(ConfigError, match=message):
            run(float_detector, tmp_path / "a.py", inspected, **options)
        assert not (tmp_path / "a.py").exists()

    def test_sensitivities_of_something_else(self, float_detector, inspected, tmp_path):
        content = json.loads(inspected.read_text())
        del content["layers"][0]["sensitivity"]["2"]
        other = tmp_path / "inspect.json"
        other.write_text(json.dumps(content))
        with pytest.raises(ConfigError, match=r"no sensitivity of backbone.conv1 at \[2\] bits"):
            run(float_detector, tmp_path / "a.py", other, average_bits=3.0)
        other.write_text("{}")
        with pytest.raises(DataError, match=r"no inspect\.json"):
            run(float_detector, tmp_path / "a.py", other, average_bits=3.0)

    def test_sensitivities_of_other_weights_or_another_code(
        self, float_detector, inspected, tmp_path
    ):
        content = json.loads(inspected.read_text())
        levels = content["layers"][3]["levels"]
        levels[:2] = levels[1], levels[0] + 1
        other = tmp_path / "inspect.json"
        other.write_text(json.dumps(content))
        name = content["layers"][3]["name"]
        with pytest.raises(ConfigError, match=f"other weights.* the levels of {name} differ"):
            run(float_detector, tmp_path / "a.py", other, average_bits=3.0)
        with pytest.raises(ConfigError, match="another code"):
            options = dict(average_bits=3.0, weight=dict(code="paper"))
            run(float_detector, tmp_path / "a.py", inspected, **options)

    def test_command(self, float_detector, inspected, tmp_path, capsys):
        arguments = ["allocate", float_detector.config, float_detector.checkpoint]
        arguments += ["--bit-widths", "2", "4", "--num-images", "1", "--inspect", str(inspected)]
        arguments += ["--out", str(tmp_path / "a.py")]
        assert main([*arguments, "--average-bits", "3"]) == 0
        assert "| allocated |" in capsys.readouterr().out
        assert main([*arguments, "--average-bits", "1"]) == 2
