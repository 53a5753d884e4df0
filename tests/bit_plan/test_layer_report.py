import pytest
import torch

from lbwdet.bit_plan.inspection import inspect_model
from lbwdet.bit_plan.layer_report import report_layer, sorted_layers
from lbwdet.errors import ConfigError
from lbwdet.layers import quantize_
from lbwdet.measuring.size import packed_bytes

FOUR_BIT = dict(bit_width=4, code="dense")


def test_a_layer():
    layer = quantize_(torch.nn.Linear(4, 2), weight=dict(bit_width=3, code="dense"))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -1, 0.5, 0.25], [0, 0, 0.26, -1]]))
    report = report_layer("fc", layer)
    assert (report.kind, report.shape, report.bit_width) == ("Linear", (2, 4), 3)
    assert report.levels == (2, 0, 0, 2, 2, 1, 1)  # -1 ... 0 ... 1
    assert report.zeros == 0.25
    assert report.error == pytest.approx(0.01**2 / (3 + 0.25 + 0.25**2 + 0.26**2), rel=1e-3)
    assert report.bytes == packed_bytes(8, 3, 1)


def test_sorted(float_detector):
    layers = inspect_model(float_detector.config, None, FOUR_BIT)["layers"]
    for by in ("zeros", "error", "bytes"):
        values = [getattr(layer, by) for layer in sorted_layers(layers, by)]
        assert values == sorted(values, reverse=True)
    names = [layer.name for layer in sorted_layers(layers, "name")]
    assert names == sorted(names)
    with pytest.raises(ConfigError, match="--sort sensitivity: it was not measured"):
        sorted_layers(layers, "sensitivity")
    with pytest.raises(ConfigError, match="--sort size: choose one of order, name"):
        sorted_layers(layers, "size")
