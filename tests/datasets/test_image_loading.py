"""The config's own loading step decides what array an image file becomes."""

import cv2
import numpy as np
import pytest
from PIL import Image

import lbwdet.datasets  # noqa: F401
from lbwdet.datasets.image_loading import ImageLoader
from lbwdet.errors import ConfigError, DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
COLORS = ("color", "grayscale", "unchanged")
COLORS += ("color_ignore_orientation", "grayscale_ignore_orientation")


def loader(**settings):
    return ImageLoader.of([dict(type="LoadImageFromFile", **settings), dict(type="Resize")])


@pytest.mark.parametrize("backend", ["cv2", "pillow"])
@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_the_size_is_that_of_the_array_to_come(tmp_path, suffix, color, backend):
    path = tmp_path / f"a.{suffix}"
    for orientation in (1, 6):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(PIXELS).save(path, exif=exif)
        load = loader(color_type=color, imdecode_backend=backend)
        assert load.size(path) == load(path).shape[1::-1]
        assert load.upright == (load.size(path) == (40, 60)) or orientation == 1


def test_colours_and_numbers_are_the_pipelines(tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), PIXELS[..., 0].astype(np.uint16) * 257)
    assert np.array_equal(loader()(path), PIXELS[..., :1].repeat(3, axis=2))
    assert loader(color_type="unchanged")(path).dtype == np.uint16
    assert loader(color_type="grayscale")(path).shape == (40, 60)
    assert loader(to_float32=True)(path).dtype == np.float32


def test_files_go_through_the_one_door(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    for backend in ("cv2", "pillow"):
        with pytest.raises(DataError, match="not an image of a kind that is read"):
            loader(imdecode_backend=backend)(tmp_path / "a.jpg")


def test_what_cannot_be_decoded(tmp_path):
    data = bytearray(cv2.imencode(".jpg", PIXELS)[1].tobytes())
    start = data.index(b"\xff\xdb")  # quantization tables, before the frame header
    data[start + 2 : start + 4] = b"\x00\x00"  # an impossible segment length
    (tmp_path / "a.jpg").write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"a\.jpg: "):
        loader()(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (dict(color_type="grayscale"), "color_type='grayscale'"),
        (dict(color_type="unchanged"), "color_type='unchanged'"),
        (dict(color_type="color_ignore_orientation"), "color_type='color_ignore_orientation'"),
        (dict(imdecode_backend="turbojpeg"), "imdecode_backend='turbojpeg'"),
        (dict(to_float32=True), "to_float32=True"),
    ],
)
def test_what_an_artifact_cannot_do_is_named(settings, named):
    with pytest.raises(ConfigError, match=rf"loaded with {named} cannot be had from an artifact"):
        loader(**settings).check_deployable()


def test_what_an_artifact_can_do():
    loader().check_deployable()
    loader(imdecode_backend="pillow").check_deployable()
    with pytest.raises(ConfigError, match="pipeline is empty"):
        ImageLoader.of([])
    with pytest.raises(ConfigError, match="type='LoadEmptyAnnotations'"):
        ImageLoader.of([dict(type="LoadEmptyAnnotations")]).check_deployable()
