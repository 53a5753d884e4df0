"""Sums of maps, and sums and products with constants."""

from lbwdet.deploy.lower.rule import Result, Site, as_numbers, rule
from lbwdet.deploy.runtime.operations.add import Add
from lbwdet.deploy.runtime.operations.affine import Affine
from lbwdet.deploy.runtime.operations.lookup import Lookup
from lbwdet.deploy.runtime.operations.maximum import Maximum
from lbwdet.deploy.runtime.operations.multiply import Multiply

Shape = tuple[int, int, int]

# x * f(x), by the f.
PRODUCTS = {"sigmoid": "silu", "hard_sigmoid": "hard_swish"}


@rule("add")
def add(site: Site) -> Result:
    alpha = float(site.argument("alpha"))
    for own, other in (("self", "other"), ("other", "self")):
        if site.is_constant(other):
            value = site.value(own)
            offset = as_numbers(site, site.argument(other), value)
            factor = 1.0 if own == "self" else alpha
            weight = alpha if own == "self" else 1.0
            return _affine(site, value, factor, tuple(number * weight for number in offset))
    if alpha != 1:
        raise site.refused(f"(alpha={alpha:g})")
    first, second = site.value("self"), site.value("other")
    for value, other in ((first, second), (second, first)):
        if _is_gate(site, site.map(other), site.map(value)) and _channels(site, other, value):
            return Add((value, other), site.output)
    raise site.refused(f"of maps of {site.map(first)} and {site.map(second)}")


@rule("sub")
def subtract(site: Site) -> Result:
    if not site.is_constant("other") or site.argument("alpha") != 1:
        raise site.refused("of two maps")
    value = site.value("self")
    offset = as_numbers(site, site.argument("other"), value)
    return _affine(site, value, 1.0, tuple(-number for number in offset))


@rule("rsub")
def subtract_from(site: Site) -> Result:
    if not site.is_constant("other") or site.argument("alpha") != 1:
        raise site.refused("of two maps")
    value = site.value("self")
    return _affine(site, value, -1.0, as_numbers(site, site.argument("other"), value))


@rule("mul")
def multiply(site: Site) -> Result:
    for own, other in (("self", "other"), ("other", "self")):
        if site.is_constant(other):
            value = site.value(own)
            return _affine(site, value, as_numbers(site, site.argument(other), value), 0.0)
    first, second = site.value("self"), site.value("other")
    for value, factor in ((first, second), (second, first)):
        gate = site.writer(factor)
        if isinstance(gate, Lookup) and gate.input == value and gate.function in PRODUCTS:
            return Lookup(value, site.output, PRODUCTS[gate.function])
    for value, other in ((first, second), (second, first)):
        if _is_gate(site, site.map(other), site.map(value)):
            return Multiply(value, other, site.output)
    raise site.refused(f"of maps of {site.map(first)} and {site.map(second)}")


@rule("maximum")
def maximum(site: Site) -> Maximum:
    first, second = site.value("self"), site.value("other")
    if site.map(first) != site.map(second):
        raise site.refused(f"of maps of {site.map(first)} and {site.map(second)}")
    return Maximum(first, second, site.output)


@rule("max")
def larger(site: Site) -> Maximum:
    """Of two maps; that along an axis is none of them."""
    if "other" not in site.call.arguments:
        raise site.refused("of one map")
    return maximum(site)


def _channels(site: Site, first: str, second: str) -> bool:
    """Whether two maps have as many channels."""
    return site.map(first)[0] == site.map(second)[0]


def _is_gate(site: Site, gate: Shape, value: Shape) -> bool:
    """Whether every pixel and every channel of the map meets one of the gate."""
    if len(site.call.shape) == 2 and value[1:] != (1, 1):  # flattened: axes of their own
        return gate == value
    return gate[0] in (value[0], 1) and gate[1:] in (value[1:], (1, 1))


@rule("div")
def divide(site: Site) -> Result:
    if not site.is_constant("other"):
        raise site.refused("by a map")
    if site.argument("rounding_mode") is not None:
        raise site.refused(f"with rounding_mode={site.argument('rounding_mode')!r}")
    value = site.value("self")
    divisor = as_numbers(site, site.argument("other"), value)
    if not all(divisor):
        raise site.refused("by zero")
    return _affine(site, value, tuple(1 / number for number in divisor), 0.0)


def _affine(
    site: Site, value: str, gain: float | tuple[float, ...], bias: float | tuple[float, ...]
) -> Result:
    channels = site.map(value)[0]
    gains = gain if isinstance(gain, tuple) else (gain,) * channels
    biases = bias if isinstance(bias, tuple) else (bias,) * channels
    if set(gains) == {1.0} and set(biases) == {0.0}:
        return value
    return Affine(value, site.output, gains, biases)
