"""The calls that modules of more are made into; see :mod:`lbwdet.deploy.lower.single_calls`."""

from lbwdet.deploy.lower.rule import Site, rule
from lbwdet.deploy.runtime.operations.l2_norm import L2Norm


@rule("l2_norm")
def l2_norm(site: Site) -> L2Norm:
    weight = site.argument("weight").double()
    return L2Norm(site.value("input"), site.output, tuple(weight.tolist()), site.argument("eps"))


@rule("over_lengths")
def over_lengths(site: Site) -> str:
    value = site.value("input")
    site.divide_by_length(value, float(site.argument("eps")))
    return value
