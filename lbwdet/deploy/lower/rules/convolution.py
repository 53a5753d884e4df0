"""Convolutions, and linear layers as convolutions that cover their map."""

from typing import Any

from lbwdet.deploy.lower.rule import Site, rule
from lbwdet.deploy.runtime.operations.conv import Conv

Pair = tuple[int, int]


@rule("conv2d", "convolution")
def convolution(site: Site) -> Conv:
    if site.argument("transposed"):
        raise site.refused("(transposed)")
    weight = site.argument("weight")
    if weight is None or not site.is_constant("weight"):
        raise site.refused("with a weight that depends on the image")
    outputs, _, height, width = weight.shape
    dilation = site.pair("dilation")
    return Conv(
        layer=site.add_layer((height, width), outputs),
        input=site.value("input"),
        output=site.output,
        kernel=(height, width),
        stride=site.pair("stride"),
        padding=_padding(site, (height, width), dilation),
        dilation=dilation,
        groups=int(site.argument("groups")),
    )


@rule("linear")
def linear(site: Site) -> Conv:
    source = site.value("input")
    if len(site.call.shape) != 2:
        raise site.refused(f"to a tensor of shape {list(site.call.shape)}")
    _, height, width = site.map(source)
    kernel = (height, width)
    return Conv(
        layer=site.add_layer(kernel, site.call.shape[1]),
        input=source,
        output=site.output,
        kernel=kernel,
    )


def _padding(site: Site, kernel: Pair, dilation: Pair) -> Pair:
    padding: Any = site.argument("padding")
    if not isinstance(padding, str):
        return site.pair("padding")
    margins = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
    if padding == "valid":
        return (0, 0)
    if any(margin % 2 for margin in margins):
        raise site.refused(f"(padding={padding!r}) with more on one side than on the other")
    return margins[0] // 2, margins[1] // 2
