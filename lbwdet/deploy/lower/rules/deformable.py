"""Deformable convolutions: samples at places of their own, and a convolution of one pixel."""

from lbwdet.deploy.lower.rule import Site, rule
from lbwdet.deploy.runtime.operations.concat import Concat
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.deformed_samples import DeformedSamples
from lbwdet.deploy.runtime.operations.lookup import Lookup
from lbwdet.deploy.runtime.operations.slice import Slice


@rule("deform_conv2d")
def deformable_convolution(site: Site) -> Conv:
    weight, source = site.argument("weight"), site.value("input")
    if weight is None or not site.is_constant("weight"):
        raise site.refused("with a weight that depends on the image")
    outputs, _, height, width = weight.shape
    groups = int(site.argument("groups"))
    operation = DeformedSamples(
        input=source,
        offsets=_offsets(site),
        output=f"{site.output}.samples",
        kernel=(height, width),
        stride=_sides(site, "stride"),
        padding=_sides(site, "pad"),
        dilation=_sides(site, "dilation"),
        groups=groups,
        deform_groups=int(site.argument("offset_groups")),
        modulated=bool(site.argument("use_mask")),
    )
    channels, *sides = site.map(source)
    wanted = [
        (side + 2 * p - (k - 1) * d - 1) // s + 1
        for side, p, k, d, s in zip(
            sides,
            operation.padding,
            operation.kernel,
            operation.dilation,
            operation.stride,
            strict=True,
        )
    ]
    if list(site.shape("offset")[2:]) != wanted:
        raise site.refused(
            f"with offsets for {list(site.shape('offset')[2:])} pixels; supported are offsets for "
            f"those of its output, {wanted}"
        )
    size = (channels * operation.taps, wanted[0], wanted[1])
    return Conv(
        layer=site.add_layer((1, 1), outputs, sampled=True),
        input=site.add_step(operation, size, shared=True),
        output=site.output,
        kernel=(1, 1),
        groups=groups,
    )


def _sides(site: Site, name: str) -> tuple[int, int]:
    return int(site.argument(f"{name}_h")), int(site.argument(f"{name}_w"))


def _offsets(site: Site) -> str:
    """The map of the offsets; with a mask, that whose last channels are the mask's logits.

    Modules cut the offsets and the logits out of what one convolution gives.
    """
    offset = site.value("offset")
    if not site.argument("use_mask"):
        return offset
    mask = site.writer(site.value("mask"))
    parts = _parts(site, offset)
    if isinstance(mask, Lookup) and mask.function == "sigmoid":
        parts += _parts(site, mask.input)
        source = parts[0][0]
        if parts == _in_order(site, source, [count for *_, count in parts]):
            return source
    raise site.refused(
        "with a mask that is not the sigmoid of the channels behind those of the offsets, in a map "
        "of both; nothing else is supported"
    )


def _parts(site: Site, value: str) -> list[tuple[str, int, int]]:
    """Of what it is cut and joined: a map, the first channel and their number."""
    writer = site.writer(value)
    if isinstance(writer, Concat):
        return [part for name in writer.inputs for part in _parts(site, name)]
    if isinstance(writer, Slice) and writer == Slice(
        writer.input, writer.output, channels=writer.channels
    ):
        return [(writer.input, *writer.channels)]
    return [(value, 0, site.map(value)[0])]


def _in_order(site: Site, source: str, counts: list[int]) -> list[tuple[str, int, int]]:
    """All channels of a map, in parts of so many."""
    firsts = [sum(counts[:index]) for index in range(len(counts))]
    whole = sum(counts) == site.map(source)[0]
    return [(source, *each) for each in zip(firsts, counts, strict=True)] if whole else []
