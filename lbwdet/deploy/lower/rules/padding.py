"""Pixels around a map."""

from lbwdet.deploy.lower.rule import Site, rule
from lbwdet.deploy.runtime.operations.pad import Pad


@rule("pad", "constant_pad_nd", "reflection_pad2d")
def pad(site: Site) -> Pad | str:
    value, pads = site.value("self"), list(site.argument("pad"))
    mode = site.argument("mode") or ("reflect" if "reflection" in site.call.op else "constant")
    if mode not in ("constant", "reflect"):
        raise site.refused(f"(mode={mode!r})")
    pads += [0] * (4 - len(pads))
    left, right, top, bottom, *others = pads
    if any(others) or min(pads) < 0 or len(site.call.shape) != 4:
        raise site.refused(f"of {pads} to a tensor of shape {list(site.call.shape)}")
    if not any(pads):
        return value
    number = float(site.argument("value") or 0)
    return Pad(value, site.output, (top, left), (bottom, right), number, mode == "reflect")
