"""Sums of predictions; see :mod:`lbwdet.deploy.lower.mixing`."""

from lbwdet.deploy.lower.rule import Site, rule
from lbwdet.deploy.runtime.operations.mix import Mix


@rule("mix")
def mix(site: Site) -> Mix:
    factors, bias = site.argument("factors"), site.argument("bias")
    columns = len(factors) // len(bias)
    return Mix(
        inputs=site.values("inputs"),
        output=site.output,
        factors=tuple(
            tuple(factors[start : start + columns]) for start in range(0, len(factors), columns)
        ),
        bias=tuple(bias),
        exponential=tuple(site.argument("exponential")),
        limits=tuple(site.argument("limits")),
    )
