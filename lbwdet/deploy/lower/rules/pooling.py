"""Max pooling."""

from lbwdet.deploy.lower.rule import Site, rule
from lbwdet.deploy.runtime.operations.max_pool import MaxPool


@rule("max_pool2d", "max_pool2d_with_indices")
def max_pool(site: Site) -> MaxPool:
    if site.argument("ceil_mode") or site.pair("dilation") != (1, 1):
        raise site.refused("with ceil_mode or dilation")
    kernel = site.pair("kernel_size")
    return MaxPool(
        input=site.value("self"),
        output=site.output,
        kernel=kernel,
        stride=site.pair("stride") if site.argument("stride") else kernel,
        padding=site.pair("padding"),
    )
