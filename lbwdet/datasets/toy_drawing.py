"""Draws one picture of the toy data set: shapes on textures, with clutter.

Everything that is random comes from the generator handed in, and a shape's
colour, texture, size and angle are drawn without looking at its class, so that
nothing but the outline tells the classes apart.
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]  # height x width x 3, BGR, 0..255
Mask = NDArray[np.float32]  # height x width, 0..1
Points = NDArray[np.float64]  # N x 2, x and y

COVERED = 0.5  # of a pixel: from there on it is the object's
MIN_VISIBLE = 0.5  # of an object's pixels; a drawing that would hide more is not made
# Ranges of mean colour, of 255, per channel. Objects are lighter than backgrounds, as
# paper on a table is: a small network then finds the outlines within minutes.
BACKGROUND, CLUTTER, OBJECT = (10, 110), (60, 170), (130, 245)
MAX_TURN = np.pi / 6  # of an object, to either side
SUBPIXEL_BITS = 4  # OpenCV's fixed-point coordinates


class ToyObject(NamedTuple):
    """A drawn object.

    The box counts pixels from 1 and includes the last, as VOC's do. The mask, bool [H, W], has
    the pixels that are at least half the object's and that no later object covers; thin lines
    over everything are not taken off.
    """

    name: str
    box: tuple[int, int, int, int]
    truncated: bool
    mask: NDArray[np.bool_]


def _arc(radius: float, start: float, stop: float, count: int = 40) -> Points:
    angle = np.linspace(start, stop, count)
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _polygon(corners: int) -> Points:
    """A regular polygon whose first edge is parallel to the y axis."""
    first = np.pi / corners
    return _arc(1, first, first + 2 * np.pi, corners + 1)[:-1]


def _star(inner: float = 0.42) -> Points:
    """Five points, with the corners between them at radius ``inner``."""
    points = _polygon(10)
    points[1::2] *= inner
    return points


def _cross(arm: float = 0.32) -> Points:
    quarter = np.array([[1, -arm], [1, arm], [arm, arm]])
    turn = np.array([[0, 1], [-1, 0]])
    return np.concatenate([quarter @ np.linalg.matrix_power(turn, k) for k in range(4)])


def _crescent() -> Points:
    """The unit disc less a disc of radius 0.8 around (0.55, 0)."""
    x = (1 + 0.55**2 - 0.8**2) / (2 * 0.55)  # where the two circles meet
    y = np.sqrt(1 - x * x)
    outer = np.arctan2(y, x)
    inner = np.arctan2(y, x - 0.55)
    back = np.array([0.55, 0]) + _arc(0.8, 2 * np.pi - inner, inner)
    return np.concatenate([_arc(1, outer, 2 * np.pi - outer), back])


# Outlines of the classes, inside the unit circle.
OUTLINES: dict[str, Points] = {
    "disc": _polygon(48),
    "triangle": _polygon(3),
    "square": _polygon(4),
    "star": _star(),
    "cross": _cross(),
    "crescent": _crescent(),
}
CLASSES = tuple(OUTLINES)


def draw_image(
    rng: np.random.Generator, size: tuple[int, int] = (192, 160)
) -> tuple[NDArray[np.uint8], list[ToyObject]]:
    """Draws a picture of 2 to 7 objects.

    Args:
        rng: Source of everything random.
        size: Width and height in pixels. Objects measure about a sixth to
            just over half of the shorter side.

    Returns:
        The image (height x width x 3, BGR) and its objects. At least half of
        each object can be seen; its box spans the whole object, hidden parts
        included, cut at the image border.
    """
    image = _texture(rng, size, _two_colours(rng, BACKGROUND, spread=rng.uniform(10, 60)))
    for _ in range(rng.integers(0, 3)):
        mask = _mask(_placed(rng, _blob(rng), size, (0.05, 0.2)), size)
        _paint(rng, image, mask, CLUTTER)
    _blur(image, rng.uniform(0.3, 1.5))

    placed: list[tuple[str, tuple[int, int, int, int], bool]] = []
    visible: list[tuple[Mask, float]] = []  # what is left to see, and the object's area
    wanted = rng.integers(2, 8)
    for _ in range(4 * wanted):  # a place that hides too much costs one try
        name = CLASSES[rng.integers(len(CLASSES))]
        points = _placed(rng, OUTLINES[name], size, (0.085, 0.27))
        mask = _mask(points, size)
        left = [(seen * (1 - mask), area) for seen, area in visible]
        if any(seen.sum() < MIN_VISIBLE * area for seen, area in left):
            continue
        _paint(rng, image, mask, OBJECT, outline=points)
        visible = [*left, (mask, float(mask.sum()))]
        placed.append((name, *_box(points, size)))
        if len(placed) == wanted:
            break

    for _ in range(rng.integers(0, 3)):
        _line(rng, image)
    objects = [
        ToyObject(*one, mask=seen >= COVERED)
        for one, (seen, _) in zip(placed, visible, strict=True)
    ]
    return _photograph(rng, image), objects


def _placed(
    rng: np.random.Generator, outline: Points, size: tuple[int, int], radius: tuple[float, float]
) -> Points:
    """The outline scaled (log-uniform, times the shorter side), stretched, turned and moved."""
    r = min(size) * np.exp(rng.uniform(*np.log(radius)))
    stretch = np.exp(rng.uniform(-0.18, 0.18))
    angle = rng.uniform(-MAX_TURN, MAX_TURN)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points: Points = outline * [r * stretch, r / stretch] @ turn
    # The centre keeps 0.7 radii from the border: few objects are cut, and never by half.
    low = np.full(2, 0.7 * r)
    return points + rng.uniform(low, np.array(size) - low)


def _mask(points: Points, size: tuple[int, int]) -> Mask:
    """Coverage of each pixel by the polygon; a pixel's centre has whole coordinates."""
    mask = np.zeros(size[::-1], np.uint8)
    fixed = np.round(points * 2**SUBPIXEL_BITS).astype(np.int32)
    cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, SUBPIXEL_BITS)
    return (mask / 255).astype(np.float32)


def _box(points: Points, size: tuple[int, int]) -> tuple[tuple[int, int, int, int], bool]:
    """The polygon's VOC box (one-based, last pixel included) and whether the border cuts it."""
    first = np.round(points.min(axis=0)).astype(int) + 1
    last = np.round(points.max(axis=0)).astype(int) + 1
    x1, y1 = np.maximum(first, 1)
    x2, y2 = np.minimum(last, size)
    truncated = bool((first < 1).any() or (last > size).any())
    return (int(x1), int(y1), int(x2), int(y2)), truncated


def _blob(rng: np.random.Generator) -> Points:
    """A closed random curve: clutter that is none of the classes."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = np.full_like(angle, 0.6)
    for waves in range(2, 6):
        phase = rng.uniform(0, 2 * np.pi)
        radius += rng.uniform(0, 0.3) / waves * np.sin(waves * angle + phase)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _two_colours(rng: np.random.Generator, mean: tuple[float, float], spread: float) -> Image:
    """Two BGR colours (1 x 2 x 3) around one in ``mean``, some ``spread`` apart per channel."""
    middle = rng.uniform(*mean, 3)
    step = rng.normal(0, 1, 3)
    step *= spread / 2 / np.abs(step).mean()
    return np.clip([[middle - step, middle + step]], 0, 255).astype(np.float32)


def _texture(rng: np.random.Generator, size: tuple[int, int], colours: Image) -> Image:
    """A picture of the given size between two colours, in one of five patterns."""
    pattern = _PATTERNS[rng.integers(len(_PATTERNS))](rng, size)[..., None]
    return np.ascontiguousarray(colours[0, 0] * (1 - pattern) + colours[0, 1] * pattern)


def _ramp(rng: np.random.Generator, size: tuple[int, int]) -> Mask:
    """Signed distance in pixels from a random line through the middle."""
    width, height = size
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:height, :width]
    distance: NDArray[np.float64] = (x - width / 2) * np.cos(angle) + (y - height / 2) * np.sin(
        angle
    )
    return distance.astype(np.float32)


def _plain(rng: np.random.Generator, size: tuple[int, int]) -> Mask:
    return np.full(size[::-1], rng.uniform(), np.float32)


def _gradient(rng: np.random.Generator, size: tuple[int, int]) -> Mask:
    return np.clip(_ramp(rng, size) / max(size) + 0.5, 0, 1)


def _stripes(rng: np.random.Generator, size: tuple[int, int]) -> Mask:
    wave: Mask = np.sin(_ramp(rng, size) * (2 * np.pi / rng.uniform(5, 30)))
    sharpness = rng.uniform(0.6, 5)  # from soft waves to hard bands
    bands: Mask = np.clip(wave * sharpness, -1, 1)
    return 0.5 + 0.5 * bands


def _checks(rng: np.random.Generator, size: tuple[int, int]) -> Mask:
    first, second = _stripes(rng, size), _stripes(rng, size)
    return first * second + (1 - first) * (1 - second)


def _clouds(rng: np.random.Generator, size: tuple[int, int]) -> Mask:
    """Random grids from coarse to fine, enlarged and added."""
    total = np.zeros(size[::-1], np.float32)
    for cells in (3, 6, 12, 24):
        grid = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
        total += cv2.resize(grid, size, interpolation=cv2.INTER_CUBIC) / cells**0.5
    return np.clip(0.5 + 0.6 * total, 0, 1)


_PATTERNS: tuple[Callable[[np.random.Generator, tuple[int, int]], Mask], ...] = (
    _plain,
    _gradient,
    _stripes,
    _checks,
    _clouds,
)


def _paint(
    rng: np.random.Generator,
    image: Image,
    mask: Mask,
    mean: tuple[float, float],
    outline: Points | None = None,
) -> None:
    """Fills ``mask`` in place with a texture whose mean colour lies in ``mean``.

    With ``outline``, the object throws a shadow and may get a drawn edge.
    """
    height, width = mask.shape
    behind = (image * mask[..., None]).sum((0, 1)) / max(float(mask.sum()), 1)
    # The best of a few: an object on another one must stand out, too.
    colours = max(
        (_two_colours(rng, mean, spread=rng.uniform(0, 40)) for _ in range(4)),
        key=lambda pair: float(np.abs(pair.mean((0, 1)) - behind).mean()),
    )

    if outline is not None:
        shadow = cv2.GaussianBlur(mask, (0, 0), rng.uniform(1, 3))
        shift = np.array([[1, 0, rng.uniform(-4, 4)], [0, 1, rng.uniform(0, 5)]])
        shadow = cv2.warpAffine(shadow, shift, (width, height))
        image *= 1 - rng.uniform(0.2, 0.5) * shadow[..., None]
    texture = _texture(rng, (width, height), colours)
    image += mask[..., None] * (texture - image)
    if outline is not None and rng.uniform() < 0.4:
        colour = rng.uniform(0, 255, 3)
        fixed = np.round(outline * 2**SUBPIXEL_BITS).astype(np.int32)
        edge = np.zeros_like(mask, np.uint8)
        cv2.polylines(edge, [fixed], True, 255, int(rng.integers(1, 3)), cv2.LINE_AA, SUBPIXEL_BITS)
        # Only inside the mask, so that the edge does not widen the object.
        image += (edge / np.float32(255) * mask)[..., None] * (colour - image).astype(np.float32)


def _line(rng: np.random.Generator, image: Image) -> None:
    """A thin bent line over everything, in place."""
    height, width = image.shape[:2]
    corners = rng.uniform(0, 1, (3, 2)) * [width, height]
    t = np.linspace(0, 1, 20)[:, None]
    curve = (1 - t) ** 2 * corners[0] + 2 * t * (1 - t) * corners[1] + t**2 * corners[2]
    fixed = np.round(curve * 2**SUBPIXEL_BITS).astype(np.int32)
    mask = np.zeros((height, width), np.uint8)
    cv2.polylines(mask, [fixed], False, 255, int(rng.integers(1, 3)), cv2.LINE_AA, SUBPIXEL_BITS)
    alpha = mask[..., None] * np.float32(rng.uniform(0.4, 1) / 255)
    image += alpha * (rng.uniform(0, 255, 3) - image).astype(np.float32)


def _photograph(rng: np.random.Generator, image: Image) -> NDArray[np.uint8]:
    """Uneven light, a little blur and sensor noise."""
    height, width = image.shape[:2]
    light = 1 + rng.uniform(0, 0.3) * _ramp(rng, (width, height)) / max(width, height)
    image = image * light[..., None]
    _blur(image, rng.uniform(0.2, 0.9))
    noise = rng.normal(0, rng.uniform(1, 7), image.shape)
    return np.clip(np.round(image + noise), 0, 255).astype(np.uint8)


def _blur(image: Image, sigma: float) -> None:
    cv2.GaussianBlur(image, (0, 0), sigma, dst=image)
