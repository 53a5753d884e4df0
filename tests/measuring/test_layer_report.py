import pytest
import torch

from lbwdet.layers import calibration, quantize_
from lbwdet.measuring.layer_report import report_layer
from lbwdet.measuring.size import packed_bytes
from lbwdet.quantizers import relative_error
from lbwdet.training import QuantMonitorHook


def test_a_layer():
    layer = quantize_(torch.nn.Linear(4, 2), weight=dict(bit_width=3, code="dense"))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -1, 0.5, 0.25], [0, 0, 0.26, -1]]))
    report = report_layer("fc", layer)
    assert (report.kind, report.shape) == ("Linear", (2, 4))
    assert (report.bit_width, report.code, report.dropped) == (3, "dense", None)
    assert report.levels == (2, 0, 0, 2, 2, 1, 1)  # -1 ... 0 ... 1
    assert report.zeros == 0.25
    assert report.error == pytest.approx(0.01**2 / (3 + 0.25 + 0.25**2 + 0.26**2), rel=1e-3)
    assert report.bytes == packed_bytes(8, 3, 1)


def test_the_error_is_that_of_the_weight_whatever_its_levels_count_in():
    net = quantize_(
        torch.nn.Sequential(torch.nn.Conv2d(4, 6, 3)),
        dict(bit_width=4, code="dense"),
        dict(bit_width=8, granularity="channel"),
    )
    with calibration(net):
        net(torch.randn(2, 4, 8, 8) * torch.logspace(-2, 2, 4)[:, None, None])
    wanted = relative_error(net[0].weight, net[0].fake_quantized_weight())
    assert report_layer("0", net[0]).error == wanted
    assert QuantMonitorHook()._measure("0", net[0])["error"] == wanted
