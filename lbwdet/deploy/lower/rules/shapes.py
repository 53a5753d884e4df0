"""What leaves the numbers as they are."""

from lbwdet.deploy.lower.rule import Site, rule
from lbwdet.deploy.runtime.operations.space_to_depth import SpaceToDepth


@rule("view", "reshape", "_unsafe_view", "flatten")
def flatten(site: Site) -> str:
    """Keeps the first axis and makes one of all others, or changes nothing."""
    value, after = site.value("self"), list(site.call.shape)
    before = list(site.shape("self"))
    flat = len(after) == 2 and len(before) in (2, 4) and after[0] == before[0]
    if not (after == before or flat):
        raise site.refused(f"from {before} to {after}")
    return value


@rule("clone", "alias", "detach", "contiguous", "dropout", "_to_copy", "to", "type_as")
def same(site: Site) -> str:
    """What changes no number: values are float32 while they are traced."""
    if site.argument("train"):
        raise site.refused("in training mode; lower a model after eval()")
    return site.value("self" if "self" in site.call.arguments else "input")


@rule("space_to_depth")
def space_to_depth(site: Site) -> SpaceToDepth:
    """Windows beside one another, as tokens; see :mod:`lbwdet.deploy.lower.tokens`."""
    return SpaceToDepth(site.value("self"), site.output, int(site.argument("factor")))
