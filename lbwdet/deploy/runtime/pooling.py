"""Which windows a pool has; of all pooling operations."""

from typing import Protocol

from lbwdet.deploy.runtime.shapes import Shapes

Pair = tuple[int, int]


class Pool(Protocol):
    """The settings of windows: sizes, steps, pixels of padding on every side, rounding up."""

    @property
    def kernel(self) -> Pair: ...
    @property
    def stride(self) -> Pair: ...
    @property
    def padding(self) -> Pair: ...
    @property
    def ceil(self) -> bool: ...


def windows(pool: Pool, shapes: Shapes) -> tuple[tuple[int, int, int], ...]:
    """Extent, stride and padding, for the height and the width, as ``Shapes.windowed`` has them.

    Raises:
        ArtifactError: there may be windows without a pixel of the map.
    """
    shapes.expect(
        all(p < k for p, k in zip(pool.padding, pool.kernel, strict=True)),
        f"the padding {pool.padding} leaves windows of {pool.kernel} without a pixel",
    )
    shapes.expect(
        not pool.ceil or fits_ceil(pool.kernel, pool.stride, pool.padding),
        f"ceil leaves windows of {pool.kernel} without a pixel: give kernels of at least stride "
        "and padding together",
    )
    more = more_pixels(pool.stride, pool.ceil)
    return tuple(
        (kernel - pixels, stride, padding)
        for kernel, stride, padding, pixels in zip(
            pool.kernel, pool.stride, pool.padding, more, strict=True
        )
    )


def fits_ceil(kernel: Pair, stride: Pair, padding: Pair) -> bool:
    """Whether the last window begins in the map, where sizes are rounded up."""
    return all(k >= s + p for k, s, p in zip(kernel, stride, padding, strict=True))


def more_pixels(stride: Pair, ceil: bool) -> Pair:
    """How far the last window may reach beyond the padding."""
    return (stride[0] - 1, stride[1] - 1) if ceil else (0, 0)
