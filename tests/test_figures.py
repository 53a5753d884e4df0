import cv2
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from lbwdet.figures import png, short, style


def drawn(dark, dots_per_inch=100):
    with style(dark):
        figure = Figure(figsize=(2, 1))
        figure.add_subplot().set_title("$x_1")  # no formula
        return png(figure, dots_per_inch)


@pytest.mark.parametrize(("dark", "ground"), [(False, (255, 255, 255)), (True, (32, 26, 22))])
def test_a_picture_has_its_ground_and_size(dark, ground):
    picture = cv2.imdecode(np.frombuffer(drawn(dark), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (100, 200, 3) and tuple(picture[0, 0]) == ground


def test_the_same_figure_gives_the_same_bytes():
    assert drawn(False) == drawn(False) != drawn(False, 110)


def test_the_style_ends_with_its_block():
    before = dict(mpl.rcParams)
    drawn(True)
    assert dict(mpl.rcParams) == before


def test_short():
    assert short("a" * 24) == "a" * 24 and short("a" * 25) == "a" * 21 + "..."
