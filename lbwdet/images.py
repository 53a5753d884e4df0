"""The one door through which image files come in: which kinds, how large, and how they are read.

Needs numpy, and Pillow where it is called; the runtime's command line uses it, too.
"""

import errno
import importlib
import io
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.errors import DataError
from lbwdet.limits import MAX_PIXELS

Array = NDArray[Any]

# Others are not tried: some of Pillow's readers start programs (EPS starts Ghostscript).
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")  # in any case of letters
MAX_BYTES = 1 << 31  # of a file

_STARTS = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "BMP": (b"BM",),
    "TIFF": (b"II*\0", b"MM\0*"),
    "WEBP": (b"RIFF",),
}
_MODULES = {"JPEG": "Jpeg", "PNG": "Png", "BMP": "Bmp", "TIFF": "Tiff", "WEBP": "WebP"}
_TRAILERS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}  # what stands at the end of a complete file
_TAIL = 4096  # some cameras write a little more behind the trailer
_STRIPS = ((273, 279), (324, 325))  # TIFF's tags for places and lengths of strips, of tiles
_EXTRA_SAMPLES = 338  # of TIFF: 1 and 2 are alpha, multiplied into the colours or not
_ORIENTATION = 0x0112  # of EXIF: 1 is upright, from 5 on width and height are swapped
# What makes an image upright that is stored with this orientation.
_TURNS: dict[int, Callable[[Array], Array]] = {
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: image.swapaxes(0, 1)[:, ::-1],
    7: lambda image: image.swapaxes(0, 1)[::-1, ::-1],
    8: lambda image: image.swapaxes(0, 1)[::-1],
}


class UnknownFormat(DataError):
    """Not an image of one of ``FORMATS``."""


class TooManyPixels(DataError):
    """An image of more pixels than are read, or of none."""


@dataclass(frozen=True)
class Header:
    """What an image file says of itself.

    Attributes:
        format: one of ``FORMATS``.
        width, height: in pixels, as stored.
        orientation: of EXIF, 1 to 8.
    """

    format: str
    width: int
    height: int
    orientation: int

    def size(self, upright: bool = True) -> tuple[int, int]:
        """Width and height, turned as EXIF says or as stored."""
        turned = upright and self.orientation >= 5
        return (self.height, self.width) if turned else (self.width, self.height)

    @property
    def unusual(self) -> bool:
        """So long or so thin that a decoder or a step of a pipeline may not take it."""
        short, long = sorted((self.width, self.height))
        return long > 1 << 15 or long > 100 * short or short * long > 1 << 27


def read_header(path: str | os.PathLike[str]) -> Header:
    """Reads the header of an image that looks complete; its pixels are not decoded, in general.

    (OpenCV decodes a truncated JPEG without an error, its lower part grey.)

    Raises:
        DataError: the file is missing, no regular file, empty, not an image of one of
            ``FORMATS``, truncated, or of more than ``MAX_PIXELS``.
    """
    with _open(path) as file, opened(file, path) as image:
        return _header(image)


def read_image(path: str | os.PathLike[str]) -> Array:
    """uint8 [H, W, 3], channels in the order blue, green, red, upright.

    Grey is repeated, alpha is dropped (in TIFF, colours are multiplied by it), of 16 bits the upper
    8 are taken, as OpenCV does it.

    Raises:
        DataError: as :func:`read_header`, or the image cannot be decoded.
    """
    with _open(path) as file:
        return decode_image(file, path)


def decode_image(
    file: IO[bytes], name: str | os.PathLike[str] = "image", max_pixels: int = MAX_PIXELS
) -> Array:
    """As :func:`read_image`, from an open file or bytes in memory; ``name`` is for messages.

    Raises:
        UnknownFormat: it begins like no image of ``FORMATS``.
        TooManyPixels: it has none, or more than ``max_pixels``; nothing was decoded.
        DataError: it is truncated, or cannot be decoded.
    """
    with opened(file, name, max_pixels) as image:
        orientation = _header(image).orientation
        try:
            pixels = _pixels(image)
        except Exception as error:  # of a damaged or an unsupported stream
            raise DataError(f"{_name(name)}: cannot be decoded: {_reason(error)}") from error
    if orientation in _TURNS and image.format != "TIFF":  # which Pillow has turned
        pixels = np.ascontiguousarray(_TURNS[orientation](pixels))
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=2)
    blue = pixels[..., 2].copy()  # swapped in place: large images fill the memory as it is
    pixels[..., 2] = pixels[..., 0]
    pixels[..., 0] = blue
    return pixels


def viewable(image: Array) -> Array:
    """Any image that a pipeline has loaded as uint8 [H, W, 3] BGR, to be drawn on and shown.

    >>> viewable(np.full((1, 1), 0x1234, np.uint16)).tolist()
    [[[18, 18, 18]]]
    """
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    elif image.dtype != np.uint8:
        image = np.clip(np.nan_to_num(image), 0, 255).astype(np.uint8)
    if image.ndim == 2:
        image = image[..., None]
    if image.shape[2] < 3:
        image = np.repeat(image[..., :1], 3, axis=2)
    return np.ascontiguousarray(image[..., :3])


def find_images(source: str | os.PathLike[str]) -> list[Path]:
    """The image itself, or the images of a folder in order of their names.

    Raises:
        DataError: there is none.
    """
    source = Path(source)
    if not source.is_dir():
        if not os.path.lexists(source):
            raise DataError(f"{_name(source)}: no such image or folder")
        return [source]
    paths = sorted(path for path in source.iterdir() if path.suffix.lower() in SUFFIXES)
    paths = [path for path in paths if not path.is_dir()]
    if not paths:
        raise DataError(
            f"{_name(source)}: no image in this folder (looked for {', '.join(SUFFIXES)}, "
            "in small or capital letters)"
        )
    return paths


def _open(path: str | os.PathLike[str]) -> IO[bytes]:
    """Opens a regular file; a named pipe or a device would wait, or never end."""
    try:
        # Without waiting for somebody at the other end of a pipe; Windows has no such files.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:
        kind = "no such file" if getattr(error, "errno", 0) == errno.ENOENT else _reason(error)
        raise DataError(f"{_name(path)}: {kind}") from error
    file = os.fdopen(handle, "rb") if stat.S_ISREG(os.fstat(handle).st_mode) else None
    if file is None:
        os.close(handle)
        raise DataError(f"{_name(path)}: not a regular file, but a folder, a pipe or a device")
    size = os.fstat(handle).st_size
    if not 0 < size <= MAX_BYTES:
        file.close()
        raise DataError(
            f"{_name(path)}: empty file"
            if size == 0
            else f"{_name(path)}: {size:,} bytes; images of up to {MAX_BYTES:,} are read"
        )
    return file


def opened(
    file: IO[bytes], path: str | os.PathLike[str] = "image", max_pixels: int = MAX_PIXELS
) -> Any:
    """Pillow's image in an open file, its header read and checked, as :func:`read_header` does.

    Raises:
        DataError: it is none of those that are read; ``path`` names it.
    """
    start = file.read(16)
    kind = next((kind for kind, starts in _STARTS.items() if start.startswith(starts)), None)
    if kind == "WEBP" and start[8:12] != b"WEBP":
        kind = None
    if kind is None:
        raise UnknownFormat(
            f"{_name(path)}: not an image of a kind that is read here "
            f"({', '.join(FORMATS)}); it begins with {start!r}"
        )
    try:
        file.seek(0)
        # Not PIL.Image.open: it tries others, and has a limit on pixels of its own.
        image = _reader(kind)(file)
        width, height = image.size
    except DataError:
        raise
    except Exception as error:  # Pillow's readers raise many types on a broken header
        raise DataError(f"{_name(path)}: broken {kind} header: {_reason(error)}") from error
    if not 1 <= width * height <= max_pixels:
        raise TooManyPixels(
            f"{_name(path)}: {width} x {height} are {width * height:,} pixels; images of 1 to "
            f"{max_pixels:,} are read"
        )
    try:
        if not _is_complete(file, image, kind):
            image.load()
            file.seek(0)
            image = _reader(kind)(file)
    except Exception as error:
        raise DataError(f"{_name(path)}: truncated or damaged: {_reason(error)}") from error
    return image


def _reader(kind: str) -> Callable[[IO[bytes]], Any]:
    try:
        import PIL  # noqa: F401

        module = importlib.import_module(f"PIL.{_MODULES[kind]}ImagePlugin")
    except ImportError as error:
        raise DataError(
            "reading images needs Pillow, which is not installed: pip install 'lbwdet[runtime]'"
        ) from error
    name = "jpeg_factory" if kind == "JPEG" else f"{_MODULES[kind]}ImageFile"
    reader: Callable[[IO[bytes]], Any] = getattr(module, name)
    return reader


def _is_complete(file: IO[bytes], image: Any, kind: str) -> bool:
    """Whether the end of the file is there, as far as can be told without decoding it."""
    place = file.tell()
    length = file.seek(0, io.SEEK_END)
    try:
        if kind in _TRAILERS:
            file.seek(max(0, length - _TAIL))
            return _TRAILERS[kind] in file.read()
        if kind == "WEBP":
            file.seek(4)
            return int.from_bytes(file.read(4), "little") + 8 <= length
        if kind == "TIFF":
            for places, lengths in _STRIPS:
                if places in image.tag_v2 and lengths in image.tag_v2:
                    pairs = zip(image.tag_v2[places], image.tag_v2[lengths], strict=True)
                    return all(start + count <= length for start, count in pairs)
        return False
    finally:
        file.seek(place)


def _header(image: Any) -> Header:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a broken EXIF block says nothing, to any other reader, too
        orientation = 1
    if not isinstance(orientation, int) or not 1 <= orientation <= 8:
        orientation = 1
    kind = "JPEG" if image.format == "MPO" else image.format  # several JPEGs, the first is read
    width, height = image.size
    if kind == "TIFF" and orientation >= 5:
        width, height = height, width  # Pillow turns them by itself
    return Header(kind, width, height, orientation)


def _pixels(image: Any) -> Array:
    """uint8 [H, W], or [H, W, 3] in the order red, green, blue."""
    if image.mode in ("1", "L"):
        return np.array(image.convert("L"))
    if image.mode.startswith("I;16"):
        return (np.asarray(image) >> 8).astype(np.uint8)
    if image.mode in ("I", "F", "LAB"):
        raise ValueError(
            f"its pixels are of mode {image.mode}; 8 or 16 bits, grey or RGB, are read"
        )
    if image.mode == "RGBA" and _is_over_black(image):
        pixels = np.array(image)
        colours, alpha = pixels[..., :3].astype(np.uint16), pixels[..., 3:]
        return np.asarray((colours * alpha + 127) // 255, np.uint8)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _is_over_black(image: Any) -> bool:
    """Whether it is a TIFF that says that its alpha is one: libtiff lays such images over black."""
    return image.format == "TIFF" and bool({1, 2} & {*image.tag_v2.get(_EXTRA_SAMPLES, ())})


def _name(path: str | os.PathLike[str]) -> str:
    return os.fsdecode(path)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
