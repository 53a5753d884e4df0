"""A font that has the letters of a text, where this machine has one. Needs Pillow."""

import functools
import os
from collections.abc import Sequence
from typing import Any

VARIABLE = "LBWDET_FONT"  # a file to try before all others
# As Linux distributions, Windows and macOS call what covers Chinese, Japanese and Korean.
_FILES = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "DroidSansFallback.ttf",
    "msyh.ttc",
    "simsun.ttc",
    "PingFang.ttc",
    "Arial Unicode.ttf",
    "DejaVuSans.ttf",
)
_NO_LETTER = "\U0010ffff"  # drawn as a font draws whatever it lacks


def font_for(texts: Sequence[str], size: int = 12) -> Any | None:
    """A font of Pillow's for all of these texts; None where no font here has their letters."""
    letters = "".join(sorted({letter for text in texts for letter in text if letter > " "}))
    from PIL import ImageFont

    if letters.isascii():
        return ImageFont.load_default()
    for file in filter(None, (os.environ.get(VARIABLE), *_FILES)):
        font = _font(file, size)
        if font is not None and _has(font, letters):
            return font
    return None


@functools.cache
def _font(file: str, size: int) -> Any | None:
    from PIL import ImageFont

    try:
        return ImageFont.truetype(file, size)
    except OSError:  # not here, no font, or Pillow without FreeType
        return None


def _has(font: Any, letters: str) -> bool:
    lacking = _drawn(font, _NO_LETTER)
    return all(_drawn(font, letter) != lacking for letter in letters)


def _drawn(font: Any, letter: str) -> tuple[Any, bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)
