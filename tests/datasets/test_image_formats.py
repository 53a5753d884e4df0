import io

import mmcv
import numpy as np
import pytest
from PIL import Image

import lbwdet.datasets  # noqa: F401
from lbwdet.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)


def encoded(kind, mode="RGB"):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(buffer, format=kind)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "P"])
def test_what_is_allowed_is_read(mode):
    content = encoded("PNG", mode)
    pillow, opencv = (mmcv.imfrombytes(content, backend=name) for name in ("pillow", "cv2"))
    assert pillow.shape == PIXELS.shape and (mode == "LA" or np.array_equal(pillow, opencv))


@pytest.mark.parametrize("kind", ["EPS", "GIF", "PPM", "TGA"])
def test_nothing_else_is(kind):
    with pytest.raises(DataError, match="not an image of a kind that is read"):
        mmcv.imfrombytes(encoded(kind), backend="pillow")
