"""Max and average pooling."""

from lbwdet.deploy.lower.rule import Result, Site, rule
from lbwdet.deploy.runtime.operations.average_pool import AveragePool
from lbwdet.deploy.runtime.operations.global_average_pool import GlobalAveragePool
from lbwdet.deploy.runtime.operations.max_pool import MaxPool


@rule("max_pool2d", "max_pool2d_with_indices")
def max_pool(site: Site) -> MaxPool:
    if site.argument("ceil_mode") or site.pair("dilation") != (1, 1):
        raise site.refused("with ceil_mode or dilation")
    return MaxPool(site.value("self"), site.output, *_window(site))


@rule("avg_pool2d")
def average_pool(site: Site) -> AveragePool:
    if site.argument("ceil_mode") or site.argument("divisor_override") is not None:
        raise site.refused("with ceil_mode or divisor_override")
    count_padding = bool(site.argument("count_include_pad"))
    return AveragePool(site.value("self"), site.output, *_window(site), count_padding)


@rule("adaptive_avg_pool2d", "_adaptive_avg_pool2d")
def adaptive_average_pool(site: Site) -> Result:
    value = site.value("self")
    if site.pair("output_size") == (1, 1):
        return GlobalAveragePool(value, site.output)
    kernel = _share(site)
    return value if kernel == (1, 1) else AveragePool(value, site.output, kernel, kernel)


@rule("adaptive_max_pool2d")
def adaptive_max_pool(site: Site) -> Result:
    value, kernel = site.value("self"), _share(site)
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


def _window(site: Site) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Kernel, stride and padding."""
    kernel = site.pair("kernel_size")
    stride = site.pair("stride") if site.argument("stride") else kernel
    return kernel, stride, site.pair("padding")
