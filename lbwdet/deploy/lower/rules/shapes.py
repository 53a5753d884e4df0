"""What leaves the numbers as they are."""

from dataclasses import replace

from lbwdet.deploy.lower.rule import Result, Site, rule
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.depth_to_space import DepthToSpace
from lbwdet.deploy.runtime.operations.space_to_depth import SpaceToDepth


@rule("view", "reshape", "_unsafe_view", "flatten")
def view(site: Site) -> Result:
    """Keeps the first axis and makes one of all others, or changes nothing.

    Or what a linear layer makes becomes a square map.
    """
    value, after = site.value("self"), list(site.call.shape)
    before = list(site.shape("self"))
    flat = len(after) == 2 and len(before) in (2, 4) and after[0] == before[0]
    if after == before or flat:
        return value
    conv = site.writer(value)
    if (
        len(before) == 2
        and len(after) == 4
        and after[2] == after[3]
        and isinstance(conv, Conv)
        and site.map(value)[1:] == (1, 1)
    ):
        return _square_map(site, value, conv)
    raise site.refused(f"from {before} to {after}")


def _square_map(site: Site, value: str, conv: Conv) -> DepthToSpace:
    """The layer makes pixel after pixel, where the tensor has channel after channel."""
    _, channels, side, _ = site.call.shape
    pixels = side * side
    outputs = [k * pixels + pixel for pixel in range(pixels) for k in range(channels)]
    written = f"{site.output}.pixels"
    layer = site.add_part_of_layer(value, outputs, written)
    made = replace(conv, layer=layer, output=written)
    return DepthToSpace(site.add_step(made, (len(outputs), 1, 1)), site.output, factor=side)


@rule("clone", "alias", "detach", "contiguous", "dropout", "_to_copy", "to", "type_as")
def same(site: Site) -> str:
    """What changes no number: values are float32 while they are traced."""
    if site.argument("train"):
        raise site.refused("in training mode; lower a model after eval()")
    dtype = site.argument("dtype")
    if dtype is not None and not dtype.is_floating_point:
        raise site.refused(f"to {dtype}, which rounds")
    return site.value("self" if "self" in site.call.arguments else "input")


@rule("space_to_depth")
def space_to_depth(site: Site) -> SpaceToDepth:
    """Windows beside one another, as tokens; see :mod:`lbwdet.deploy.lower.tokens`."""
    return SpaceToDepth(site.value("self"), site.output, int(site.argument("factor")))
