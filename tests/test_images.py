"""Which files are taken for images, and what is read of them."""

import io
import os
import subprocess
import sys
import warnings

import cv2
import numpy as np
import pytest
from PIL import Image

from lbwdet.errors import DataError
from lbwdet.images import (
    FORMATS,
    SUFFIXES,
    TooManyPixels,
    UnknownFormat,
    decode_image,
    find_images,
    read_header,
    read_image,
    viewable,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
LOSSLESS = (".png", ".bmp", ".tif")


def write(path, pixels=PIXELS):
    assert cv2.imwrite(str(path), pixels)
    return path


# What they say of themselves


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_and_its_truncations(tmp_path, suffix):
    path = write(tmp_path / f"a{suffix}")
    header = read_header(path)
    assert header.size() == (60, 40) and header.format in FORMATS and not header.unusual
    data = path.read_bytes()
    for extra in (3000, 30000):  # some cameras write more behind the image
        path.write_bytes(data + bytes(extra))
        assert read_header(path) == header
    for keep in (len(data) - 40, len(data) // 2, 20, 2):
        path.write_bytes(data[:keep])
        with pytest.raises(DataError, match=rf"a\{suffix}: "):
            read_header(path)


def test_the_name_does_not_matter(tmp_path):
    write(tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert read_header(tmp_path / "a.jpg").format == "PNG"


def test_a_list_of_jpegs_is_its_first(tmp_path):
    first, second = (Image.fromarray(pixels) for pixels in (PIXELS, 255 - PIXELS))
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second])
    assert read_header(tmp_path / "a.jpg").format == "JPEG"
    assert np.array_equal(read_image(tmp_path / "a.jpg"), cv2.imread(str(tmp_path / "a.jpg")))


# Which are refused

EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 100 100
%%EndComments
(%pipe%touch CODE) (w) file
showpage
"""


@pytest.mark.parametrize("suffix", [".jpg", ".eps", ".png"])
def test_postscript_starts_no_ghostscript(tmp_path, suffix, monkeypatch):
    def never(*arguments, **options):
        raise AssertionError(arguments)

    monkeypatch.setattr(subprocess, "Popen", never)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(EPS.replace(b"CODE", str(tmp_path / "code").encode()))
    for read in (read_header, read_image):
        with pytest.raises(DataError, match=r"not an image of a kind .*JPEG, PNG.* begins with"):
            read(path)


@pytest.mark.parametrize("kind", ["GIF", "PPM", "ICO", "PCX", "TGA", "JPEG2000", "SGI", "PDF"])
def test_other_formats_are_not_tried(tmp_path, kind):
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg", format=kind)
    with pytest.raises(DataError, match="not an image of a kind that is read here"):
        read_header(tmp_path / "a.jpg")


def test_only_regular_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nothing")
    for name in ("pipe.jpg", "folder.jpg", "zero.jpg"):
        with pytest.raises(DataError, match=rf"{name}: (not a regular file|Is a directory)"):
            read_image(tmp_path / name)
    for name in ("gone.jpg", "none.jpg"):
        with pytest.raises(DataError, match=rf"{name}: no such file"):
            read_image(tmp_path / name)
    with pytest.raises(DataError):
        read_image("a\0b.jpg")
    (tmp_path / "a.jpg").touch()
    with pytest.raises(DataError, match=r"a\.jpg: empty file"):
        read_header(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_text("not a picture")
    with pytest.raises(DataError, match=r"a\.jpg: not an image of a kind"):
        read_header(tmp_path / "a.jpg")


def png_header(width, height):
    """A PNG that says it is so large, with no pixels in it."""
    import struct
    import zlib

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_one_limit_of_pixels_in_our_words(tmp_path):
    path = tmp_path / "a.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow's own limit of a third of it only warns
        path.write_bytes(png_header(1 << 15, 1 << 14))
        assert read_header(path).size() == (1 << 15, 1 << 14)
        path.write_bytes(png_header((1 << 15) + 1, 1 << 14))
        with pytest.raises(DataError, match="536,887,296 pixels; images of 1 to 536,870,912 are"):
            read_header(path)
        path.write_bytes(png_header((1 << 31) - 1, (1 << 31) - 1))
        with pytest.raises(DataError, match="pixels; images of 1 to"):
            read_image(path)


def test_what_is_unusual(tmp_path):
    for size, unusual in (((60, 40), False), ((40, 4001), True), ((40_000, 500), True)):
        (tmp_path / "a.png").write_bytes(png_header(*size))
        assert read_header(tmp_path / "a.png").unusual == unusual


# What is read: what OpenCV reads


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pixels_are_those_of_opencv(tmp_path, suffix):
    path = write(tmp_path / f"a{suffix}")
    assert np.array_equal(read_image(path), cv2.imread(str(path)))


RANDOM = np.random.default_rng(1)


@pytest.mark.parametrize("suffix", LOSSLESS)
@pytest.mark.parametrize(
    ("kind", "pixels"),
    [
        ("grey", PIXELS[..., 0]),
        ("black and white", (PIXELS[..., 0] > 99) * np.uint8(255)),
        ("alpha", np.concatenate([PIXELS, PIXELS[..., :1]], axis=2)),
        ("16 bits", RANDOM.integers(0, 1 << 16, (40, 60), np.uint16)),
        ("16 bits in colour", RANDOM.integers(0, 1 << 16, (40, 60, 3), np.uint16)),
    ],
)
def test_grey_alpha_and_16_bits(tmp_path, suffix, kind, pixels):
    if kind.startswith("16") and suffix == ".bmp":
        return
    path = write(tmp_path / f"a{suffix}", pixels)
    difference = np.abs(read_image(path).astype(int) - cv2.imread(str(path)))
    assert difference.max() <= (1 if kind == "16 bits in colour" else 0)  # it rounds TIFF's


def test_palettes_and_grey_with_alpha(tmp_path):
    for mode in ("P", "LA", "1"):
        Image.fromarray(PIXELS).convert(mode).save(tmp_path / "a.png")
        assert np.array_equal(read_image(tmp_path / "a.png"), cv2.imread(str(tmp_path / "a.png")))


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_alpha_of_other_programs(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    alpha = RANDOM.integers(0, 256, (40, 60, 1), np.uint8)
    Image.fromarray(np.concatenate([PIXELS, alpha], axis=2)).save(path)
    assert np.array_equal(read_image(path), cv2.imread(str(path)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "jpg"])
def test_images_are_upright(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    options = dict(lossless=True) if suffix == "webp" else {}
    Image.fromarray(PIXELS).save(path, exif=exif, **options)
    image = read_image(path)
    assert read_header(path).size() == image.shape[1::-1]
    assert read_header(path).size(upright=False) == (60, 40)
    if suffix != "tif":
        assert np.array_equal(image, cv2.imread(str(path)))
    else:  # OpenCV 5 fails on turned ones
        png = path.with_suffix(".png")
        Image.fromarray(PIXELS).save(png, exif=exif)
        assert np.array_equal(image, read_image(png))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_there_is_not(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)
    assert read_header(tmp_path / "a.png").orientation == 1


def test_modes_that_have_no_bytes(tmp_path):
    Image.fromarray(PIXELS[..., 0].astype(np.float32)).save(tmp_path / "a.tif")
    Image.merge("LAB", Image.fromarray(PIXELS).split()).save(tmp_path / "b.tif")
    for name, mode in (("a.tif", "F"), ("b.tif", "LAB")):
        message = rf"{name}: cannot be decoded: its pixels are of mode {mode};"
        with pytest.raises(DataError, match=message):
            read_image(tmp_path / name)


def test_a_large_grey_image_is_held_in_memory_once_or_twice(tmp_path):
    write(tmp_path / "a.png", np.zeros((6000, 6000), np.uint8))
    program = (
        "import resource, sys; from lbwdet.images import read_image; import PIL.PngImagePlugin\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak(); image = read_image(sys.argv[1])\n"
        "print((peak() - before) * 1024 / image.nbytes)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "a.png")]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(run.stdout) < 2


def test_any_loaded_image_can_be_looked_at():
    grey = PIXELS[..., 0]
    for image in (grey, grey[..., None], grey.astype(np.uint16) << 8, grey.astype(np.float32)):
        assert np.array_equal(viewable(image), grey[..., None].repeat(3, axis=2))
    alpha = np.concatenate([PIXELS, PIXELS[..., :1]], axis=2)
    assert np.array_equal(viewable(alpha), PIXELS) and viewable(alpha).flags.c_contiguous
    assert viewable(np.array([[np.nan, -5, 999]], np.float32))[..., 0].tolist() == [[0, 0, 255]]


# Which are found


def test_a_folder_is_searched_in_order_without_subfolders(tmp_path):
    for name in ("b.PNG", "a.jpg", "c.Tif", "deeper/c.png", "folder.png/d.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in find_images(tmp_path)] == ["a.jpg", "b.PNG", "c.Tif"]
    assert find_images(str(tmp_path / "notes.txt")) == [tmp_path / "notes.txt"]  # as it was named


def test_nothing_found(tmp_path):
    with pytest.raises(DataError, match="nope: no such image or folder"):
        find_images(tmp_path / "nope")
    with pytest.raises(DataError, match=r"no image in this folder \(looked for \.jpg, .*\.webp"):
        find_images(tmp_path)


def test_numpy_and_pillow_are_enough():
    program = (
        "import sys; import lbwdet.images\n"
        "print([m for m in ('cv2', 'torch', 'mmengine', 'PIL') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout == "[]\n"


# In memory


def test_bytes_in_memory(tmp_path):
    path = write(tmp_path / "a.png")
    data = path.read_bytes()
    assert np.array_equal(decode_image(io.BytesIO(data), max_pixels=2400), read_image(path))
    with pytest.raises(TooManyPixels, match=r"^a name: 60 x 40 are 2,400 pixels; .* to 2,399 are"):
        decode_image(io.BytesIO(data), "a name", max_pixels=2399)
    with pytest.raises(UnknownFormat, match=r"^image: not an image of a kind"):
        decode_image(io.BytesIO(b"GIF89a"))
    with pytest.raises(DataError, match=r"^image: truncated"):
        decode_image(io.BytesIO(data[:-100]))
