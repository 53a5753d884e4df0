"""Max and average pooling."""

from lbwdet.deploy.lower.rule import Result, Site, rule
from lbwdet.deploy.runtime.operations.adaptive_max_pool import AdaptiveMaxPool
from lbwdet.deploy.runtime.operations.average_pool import AveragePool
from lbwdet.deploy.runtime.operations.global_average_pool import GlobalAveragePool
from lbwdet.deploy.runtime.operations.max_pool import MaxPool
from lbwdet.deploy.runtime.pooling import fits_ceil

Pair = tuple[int, int]


@rule("max_pool2d", "max_pool2d_with_indices")
def max_pool(site: Site) -> MaxPool:
    if site.pair("dilation") != (1, 1):
        raise site.refused("with dilation")
    window = _window(site)
    return MaxPool(site.value("self"), site.output, *window, _ceil(site, window))


@rule("avg_pool2d")
def average_pool(site: Site) -> Result:
    if site.argument("divisor_override") is not None:
        raise site.refused("with divisor_override")
    window = _window(site)
    ceil = _ceil(site, window)
    # Without pixels outside of the map there is nothing to count.
    count_padding = bool(site.argument("count_include_pad")) and any(window[2])
    value = site.value("self")
    if window == ((1, 1), (1, 1), (0, 0)):
        return value
    return AveragePool(value, site.output, *window, count_padding, ceil)


@rule("adaptive_avg_pool2d", "_adaptive_avg_pool2d")
def adaptive_average_pool(site: Site) -> Result:
    value = site.value("self")
    if site.pair("output_size") == (1, 1):
        return GlobalAveragePool(value, site.output)
    kernel = _share(site)
    return value if kernel == (1, 1) else AveragePool(value, site.output, kernel, kernel)


@rule("adaptive_max_pool2d")
def adaptive_max_pool(site: Site) -> Result:
    """To the size of the first map that has it; without one, by whole factors."""
    value, wanted = site.value("self"), site.pair("output_size")
    like = next((name for name in site.maps_of(wanted) if name != value), None)
    if like is not None and site.map(value)[1:] != wanted:
        return AdaptiveMaxPool(value, site.output, like)
    kernel = _share(site)
    return value if kernel == (1, 1) else MaxPool(value, site.output, kernel, kernel)


@rule("mean")
def mean(site: Site) -> GlobalAveragePool:
    value, axes = site.value("self"), site.argument("dim")
    rank = len(site.shape("self"))
    if rank != 4 or sorted(axis % rank for axis in axes or ()) != [2, 3]:
        raise site.refused(f"over the axes {axes} of a tensor of shape {list(site.shape('self'))}")
    return GlobalAveragePool(value, site.output)


def _share(site: Site) -> tuple[int, int]:
    """The window of each pixel of the output, if these cover the map without overlap."""
    before, after = site.map(site.value("self"))[1:], site.pair("output_size")
    (height, rest), (width, also) = (divmod(b, a) for b, a in zip(before, after, strict=True))
    if rest or also:
        raise site.refused(f"from {list(before)} to {list(after)}, which is no whole factor")
    return height, width


def _ceil(site: Site, window: tuple[Pair, Pair, Pair]) -> bool:
    """Whether sizes are rounded up, and that makes a difference."""
    kernel, stride, padding = window
    if not site.argument("ceil_mode") or stride == (1, 1):
        return False
    if not fits_ceil(kernel, stride, padding):
        raise site.refused(f"with ceil_mode, windows of {kernel} and steps of {stride}")
    return True


def _window(site: Site) -> tuple[Pair, Pair, Pair]:
    """Kernel, stride and padding."""
    kernel = site.pair("kernel_size")
    stride = site.pair("stride") if site.argument("stride") else kernel
    return kernel, stride, site.pair("padding")
