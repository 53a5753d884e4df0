"""Element-wise functions: each is one table of 256 entries."""

from lbwdet.deploy.lower.rule import Site, rule
from lbwdet.deploy.runtime.operations.lookup import Lookup

PLAIN = {
    "relu": "relu",
    "sigmoid": "sigmoid",
    "exp": "exp",
    "silu": "silu",
    "tanh": "tanh",
    "mish": "mish",
    "hardsigmoid": "hard_sigmoid",
    "hardswish": "hard_swish",
}
WIDE = 1e6  # where a clamp has no end


@rule(*PLAIN)
def plain(site: Site) -> Lookup:
    return _lookup(site, PLAIN[site.call.op])


@rule("relu6")
def relu6(site: Site) -> Lookup:
    return _lookup(site, "clamp", 0.0, 6.0)


@rule("hardtanh")
def hardtanh(site: Site) -> Lookup:
    return _clamp(site, site.argument("min_val"), site.argument("max_val"))


@rule("clamp")
def clamp(site: Site) -> Lookup:
    return _clamp(site, site.argument("min"), site.argument("max"))


@rule("clamp_min")
def clamp_min(site: Site) -> Lookup:
    return _clamp(site, site.argument("min"), None)


@rule("leaky_relu")
def leaky_relu(site: Site) -> Lookup:
    return _lookup(site, "leaky_relu", float(site.argument("negative_slope")))


@rule("elu")
def elu(site: Site) -> Lookup:
    if (site.argument("scale"), site.argument("input_scale")) != (1, 1):
        raise site.refused("with a scale")
    return _lookup(site, "elu", float(site.argument("alpha")))


@rule("gelu")
def gelu(site: Site) -> Lookup:
    return _lookup(site, "gelu" if site.argument("approximate") == "none" else "gelu_tanh")


def _clamp(site: Site, low: float | None, high: float | None) -> Lookup:
    if low == 0 and high is None:
        return _lookup(site, "relu")
    if not all(end is None or isinstance(end, int | float) for end in (low, high)):
        raise site.refused("to ends that are tensors")
    ends = (-WIDE if low is None else float(low), WIDE if high is None else float(high))
    return _lookup(site, "clamp", *ends)


def _lookup(site: Site, function: str, *parameters: float) -> Lookup:
    return Lookup(site.value("self"), site.output, function, parameters)
