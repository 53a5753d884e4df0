import cv2
import numpy as np

from lbwdet.bit_plan.inspection_plot import _shares, draw_layers
from lbwdet.measuring.layer_report import LayerReport


def layer(name: str, levels: tuple[int, ...], bit_width: int) -> LayerReport:
    return LayerReport(
        name,
        (1, 4),
        bit_width,
        "dense",
        zeros=0.25,
        bytes=9,
        levels=levels,
        error=0.1,
        sensitivity={bit_width: 0.5},
    )


LAYERS = [layer("wide", (1, 0, 1, 1, 0, 0, 1), 3), layer("narrow" * 20, (1, 2, 1), 2)]


def test_levels_of_layers_with_other_bit_widths_line_up():
    nan = np.nan
    expected = [[0.25, 0, 0.25, 0.25, 0, 0, 0.25], [0.25, nan, nan, 0.5, nan, nan, 0.25]]
    np.testing.assert_array_equal(_shares(LAYERS, 3), expected)


def test_a_picture_with_a_panel_for_the_damage():
    plain, measured = (
        cv2.imdecode(np.frombuffer(draw_layers(LAYERS, measure), np.uint8), cv2.IMREAD_COLOR)
        for measure in ("none", "loss")
    )
    assert measured.shape[1] > plain.shape[1] > 500
    assert len(np.unique(plain.reshape(-1, 3), axis=0)) > 10
