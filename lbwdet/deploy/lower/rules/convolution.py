"""Convolutions, and linear layers as convolutions that cover their map."""

from typing import Any

from lbwdet.deploy.lower.rule import Site, rule
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.depth_to_space import DepthToSpace

Pair = tuple[int, int]


@rule("conv2d", "convolution")
def convolution(site: Site) -> Conv | DepthToSpace:
    if site.argument("transposed"):
        return transposed_convolution(site)
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


@rule("conv_transpose2d")
def transposed_convolution(site: Site) -> DepthToSpace:
    """Every pixel makes a block of its own: a convolution of one pixel, and their arrangement."""
    weight, source = site.argument("weight"), site.value("input")
    if weight is None or not site.is_constant("weight"):
        raise site.refused("with a weight that depends on the image")
    _, outputs, *kernel = weight.shape
    plain = dict(padding=(0, 0), output_padding=(0, 0), dilation=(1, 1))
    settings = {name: site.pair(name) for name in plain}
    square = kernel[0] == kernel[1] and site.pair("stride") == tuple(kernel)
    if not square or settings != plain or site.argument("groups") != 1:
        raise site.refused(
            f"(transposed, kernel {tuple(kernel)}, stride {site.pair('stride')}); supported is a "
            "square kernel of the stride's size, without padding and groups"
        )
    blocks, (_, height, width) = outputs * kernel[0] ** 2, site.map(source)
    pixels = f"{site.output}.pixels"
    conv = Conv(
        layer=site.add_layer((1, 1), blocks, pixels, transposed=True),
        input=source,
        output=pixels,
        kernel=(1, 1),
    )
    return DepthToSpace(site.add_step(conv, (blocks, height, width)), site.output, factor=kernel[0])


@rule("linear")
def linear(site: Site) -> Conv:
    """Of a flattened map, all of it at once; of tokens, which are a map, each pixel by itself."""
    source, per_pixel = site.value("input"), site.argument("per_pixel")
    if len(site.call.shape) != 2 and not per_pixel:
        raise site.refused(f"to a tensor of shape {list(site.call.shape)}")
    _, height, width = site.map(source)
    kernel = (1, 1) if per_pixel else (height, width)
    pixels_first = bool(site.argument("channels_last"))
    return Conv(
        layer=site.add_layer(kernel, site.call.shape[1], channels_last=pixels_first),
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
