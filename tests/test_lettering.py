import pytest
from PIL import ImageFont

from lbwdet import lettering
from lbwdet.lettering import font_for

matplotlib = pytest.importorskip("matplotlib")
DEJAVU = f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"


@pytest.fixture
def only_dejavu(monkeypatch):
    monkeypatch.setattr(lettering, "_FILES", ())
    monkeypatch.setenv(lettering.VARIABLE, DEJAVU)


def test_plain_letters_need_no_font_of_the_machine(monkeypatch):
    monkeypatch.setattr(lettering, "_font", None)
    assert font_for(["cat 0.99", ""]) is not None


def test_a_font_with_the_letters_is_found(only_dejavu):
    font = font_for(["Straße", "кот"])
    assert isinstance(font, ImageFont.FreeTypeFont) and font.path == DEJAVU


def test_a_font_that_lacks_them_is_not_taken(only_dejavu):
    assert font_for(["кот", "猫"]) is None


def test_what_is_no_font(monkeypatch):
    monkeypatch.setattr(lettering, "_FILES", ("no-such-font.ttf",))
    monkeypatch.setenv(lettering.VARIABLE, __file__)
    assert font_for(["кот"]) is None
