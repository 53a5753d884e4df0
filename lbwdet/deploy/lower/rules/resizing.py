"""Upsampling by nearest neighbours."""

from lbwdet.deploy.lower.rule import Site, rule
from lbwdet.deploy.runtime.operations.upsample import Upsample


@rule("upsample_nearest2d")
def upsample_nearest(site: Site) -> Upsample:
    """By a whole factor, if one was given; else to the size of a map that it meets."""
    source = site.value("input" if "input" in site.call.arguments else "self")
    size, (_, *before) = list(site.call.shape[2:]), site.map(source)
    factors = [after // side for after, side in zip(size, before, strict=True)]
    whole = [side * factor for side, factor in zip(before, factors, strict=True)] == size
    if site.argument("scale_factors") is None:
        for other in site.read_with(site.output):
            if list(site.map(other)[1:]) == size:
                return Upsample(source, site.output, like=other)
    if not whole:
        raise site.refused(f"from {before} to {size}, which is no whole factor")
    return Upsample(source, site.output, (factors[0], factors[1]))
