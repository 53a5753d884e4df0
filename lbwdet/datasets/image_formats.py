"""Has mmcv's Pillow backend read the formats that :mod:`lbwdet.images` allows, and no others.

``PIL.Image.open`` tries every format it knows; for some it starts programs.
"""

import types

import mmcv.image.io
import PIL.Image

from lbwdet.images import opened


def allow_image_formats() -> None:
    """Puts the one door in the place of ``PIL.Image.open``, for mmcv alone."""
    mmcv.image.io.Image = types.SimpleNamespace(open=opened, new=PIL.Image.new)
