"""Other sizes: by nearest neighbours, or bilinear."""

from lbwdet.deploy.lower.rule import Result, Site, rule
from lbwdet.deploy.runtime.operations.resize import Resize
from lbwdet.deploy.runtime.operations.upsample import Upsample

Pair = tuple[int, int]


@rule("upsample_nearest2d")
def upsample_nearest(site: Site) -> Upsample:
    """By a whole factor, if one was given; else to the size of a map."""
    source = _source(site)
    like, factor, divisor = _size(site, source)
    if divisor != (1, 1):
        raise site.refused(f"from {_sides(site, source)} to {_wanted(site)}, which is smaller")
    return Upsample(source, site.output, factor, like)


@rule("upsample_bilinear2d")
def upsample_bilinear(site: Site) -> Resize:
    source = _source(site)
    like, factor, divisor = _size(site, source)
    align = bool(site.argument("align_corners"))
    return Resize(source, site.output, factor, divisor, like, align)


@rule("resized")
def to_size(site: Site) -> Resize:
    """To the same size, whatever the image's is."""
    size = int(site.argument("height")), int(site.argument("width"))
    return Resize(site.value("x"), site.output, size=size)


@rule("aligned")
def aligned(site: Site) -> Resize:
    factor = int(site.argument("factor"))
    return Resize(site.value("x"), site.output, (factor, factor), aligned=True)


@rule("expand_as")
def expand_as(site: Site) -> Result:
    """One pixel for all that another map has."""
    source, like = site.value("self"), site.value("other")
    if site.map(source) == site.map(like):
        return source
    if _sides(site, source) != [1, 1]:
        raise site.refused(f"from {_sides(site, source)} to {_wanted(site)}")
    return Upsample(source, site.output, like=like)


def _source(site: Site) -> str:
    return site.value("input" if "input" in site.call.arguments else "self")


def _sides(site: Site, value: str) -> list[int]:
    return list(site.map(value)[1:])


def _wanted(site: Site) -> list[int]:
    return list(site.call.shape[2:])


def _size(site: Site, source: str) -> tuple[str | None, Pair, Pair]:
    """The map whose size it takes, or, without one, a factor and a divisor of its own size.

    Where the call has a size instead of a factor, it was that of a map: of one that the result
    meets, or else of the first of that size. Whether they are equal for every image is seen where
    the program is checked.
    """
    wanted, sides = _wanted(site), _sides(site, source)
    if site.argument("scale_factors") is None:
        for other in (*site.read_with(site.output), *site.maps_of(wanted)):
            if _sides(site, other) == wanted:
                return other, (1, 1), (1, 1)
    factors, divisors = [], []
    for before, after in zip(sides, wanted, strict=True):
        if max(before, after) % min(before, after):
            raise site.refused(f"from {sides} to {wanted}, which is no whole factor")
        factors.append(max(after // before, 1))
        divisors.append(max(before // after, 1))
    return None, (factors[0], factors[1]), (divisors[0], divisors[1])
