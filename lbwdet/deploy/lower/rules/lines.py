"""What regions compute along their width and height; see :mod:`lbwdet.deploy.lower.lines`."""

from lbwdet.deploy.lower.rule import Site, rule
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.line_mean import LineMean


@rule("line_mean")
def line_mean(site: Site) -> LineMean:
    return LineMean(site.value("input"), site.value("logits"), site.output, site.argument("lines"))


@rule("longer_line")
def longer_line(site: Site) -> Conv:
    layer = site.add_layer((1, 1), site.call.shape[1], transposed=True)
    return Conv(layer, site.value("input"), site.output, (1, 1))


@rule("line_numbers")
def line_numbers(site: Site) -> Conv:
    """The same layer for each group of channels."""
    count = site.call.shape[1]
    layer = site.repeat_output(site.add_layer((1, 1), 1), count)
    return Conv(layer, site.value("input"), site.output, (1, 1), groups=count)
