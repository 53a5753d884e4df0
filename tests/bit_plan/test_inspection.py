import json

import numpy as np
import pytest

from lbwdet.bit_plan.inspection import (
    InspectSettings,
    inspect_model,
    load_quantized,
    markdown,
    quantizer_choices,
    sorted_layers,
    write_inspection,
)
from lbwdet.cli import main
from lbwdet.configs import Overrides
from lbwdet.errors import ConfigError
from lbwdet.layers import QuantLinear, quantized_layers
from lbwdet.quantizers import build_quantizer

FOUR_BIT = dict(bit_width=4, code="dense")
AT_FOUR_BITS = InspectSettings(weight=FOUR_BIT)


def test_other_bit_widths_keep_all_that_a_quantizer_is_told():
    own = dict(code="dense", solver="threshold", granularity="channel", mu=0.5)
    layer = QuantLinear(4, 4, bit_width=4, **own)
    for width, quantizer in quantizer_choices(layer, [3, 6]).items():
        assert quantizer.settings == build_quantizer(width, **own).settings


class TestModel:
    def test_counts_every_weight(self, float_detector):
        inspected = inspect_model(float_detector.config, float_detector.checkpoint, AT_FOUR_BITS)
        _, model = load_quantized(float_detector.config, float_detector.checkpoint, FOUR_BIT)
        layers = quantized_layers(model)
        assert [report.name for report in inspected["layers"]] == list(layers)
        for report in inspected["layers"]:
            assert sum(report.levels) == layers[report.name].weight.numel() == np.prod(report.shape)
            assert len(report.levels) == 15 and report.damage is None
        assert inspected["baseline"] is None

    def test_the_settings_of_a_quantized_config(self, tiny):
        own = inspect_model(tiny.six_bit_config, tiny.checkpoint)
        assert {report.bit_width for report in own["layers"]} == {6}
        other = inspect_model(
            tiny.six_bit_config, tiny.checkpoint, InspectSettings(dict(bit_width=2))
        )
        assert {report.bit_width for report in other["layers"]} == {2}

    def test_loss_at_several_bit_widths(self, float_detector):
        settings = InspectSettings(FOUR_BIT, "loss", [2], num_images=1)
        inspected = inspect_model(float_detector.config, float_detector.checkpoint, settings)
        assert inspected["baseline"] > 0 and inspected["num_images"] == 1
        for report in inspected["layers"]:
            assert list(report.sensitivity) == [2, 4]
        changes = [
            abs(report.sensitivity[width]) for width in (2, 4) for report in inspected["layers"]
        ]
        half = len(changes) // 2
        assert sum(changes[:half]) > sum(changes[half:]) > 0  # two bits hurt more than four

    def test_map(self, tiny):
        settings = InspectSettings(sensitivity="map", num_images=1)
        inspected = inspect_model(tiny.six_bit_config, tiny.checkpoint, settings)
        assert all(-1 <= report.damage <= 1 for report in inspected["layers"])
        assert "map change" in markdown(inspected, "sensitivity")

    @pytest.mark.parametrize(
        "options, message",
        [
            (dict(), "quantizes no layer; say how: --bit-width 4"),
            (
                dict(weight=FOUR_BIT, sensitivity="loss"),
                "random weights have none; give CHECKPOINT",
            ),
            (dict(weight=FOUR_BIT, sensitivity="error"), "choose one of none, loss, map"),
        ],
    )
    def test_mistakes(self, float_detector, options, message):
        with pytest.raises(ConfigError, match=message):
            inspect_model(float_detector.config, None, InspectSettings(**options))


def test_sorted(float_detector):
    layers = inspect_model(float_detector.config, None, AT_FOUR_BITS)["layers"]
    for by in ("zeros", "error", "bytes"):
        values = [getattr(layer, by) for layer in sorted_layers(layers, by)]
        assert values == sorted(values, reverse=True)
    names = [layer.name for layer in sorted_layers(layers, "name")]
    assert names == sorted(names)
    with pytest.raises(ConfigError, match="--sort sensitivity: it was not measured"):
        sorted_layers(layers, "sensitivity")
    with pytest.raises(ConfigError, match="--sort size: choose one of order, name"):
        sorted_layers(layers, "size")


class TestFiles:
    def test_files(self, float_detector, tmp_path):
        inspected = inspect_model(float_detector.config, None, AT_FOUR_BITS)
        write_inspection(inspected, tmp_path / "out", sort="error")
        content = json.loads((tmp_path / "out" / "inspect.json").read_text())
        assert content["layers"][0]["name"] == "backbone.conv1"
        table = (tmp_path / "out" / "inspect.md").read_text()
        assert table == markdown(inspected, "error")
        assert len({line.count("|") for line in table.splitlines()}) == 1
        assert (tmp_path / "out" / "inspect.png").read_bytes().startswith(b"\x89PNG")

    def test_data_elsewhere(self, float_detector, tmp_path):
        root = str(tmp_path / "elsewhere")
        cfg, _ = load_quantized(float_detector.config, None, FOUR_BIT, Overrides(data_root=root))
        assert cfg.test_dataloader.dataset.data_root == root
        assert cfg.train_dataloader.dataset.data_root == root

    def test_command(self, tiny, tmp_path, capsys):
        arguments = ["inspect", tiny.six_bit_config, tiny.checkpoint, "--sort", "bytes"]
        assert main([*arguments, "--out-dir", str(tmp_path)]) == 0
        assert "| backbone.layer4.1.conv2 " in capsys.readouterr().out
        assert main([*arguments[:-1], "sensitivity"]) == 2
