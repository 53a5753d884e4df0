"""Maps one after the other along their channels."""

from lbwdet.deploy.lower.rule import Result, Site, rule
from lbwdet.deploy.runtime.operations.concat import Concat


@rule("cat")
def concatenate(site: Site) -> Result:
    values = site.values("tensors")
    if len(values) == 1:
        return values[0]
    rank = len(site.call.shape)
    if site.argument("dim") % rank != 1:
        raise site.refused(f"along axis {site.argument('dim')}")
    if rank == 2 and any(site.map(value)[1:] != (1, 1) for value in values):
        raise site.refused("of flattened maps")
    return Concat(values, site.output)
