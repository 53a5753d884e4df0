"""Max and average pooling."""

from lbwdet.deploy.lower.rule import Site, rule
from lbwdet.deploy.runtime.operations.average_pool import AveragePool
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


def _window(site: Site) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Kernel, stride and padding."""
    kernel = site.pair("kernel_size")
    stride = site.pair("stride") if site.argument("stride") else kernel
    return kernel, stride, site.pair("padding")
