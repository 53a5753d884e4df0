"""Which pixels become queries, and where; see :mod:`lbwdet.deploy.lower.proposals`."""

from lbwdet.deploy.lower.rule import Site, rule
from lbwdet.deploy.runtime.operations.best_pixels import BestPixels
from lbwdet.deploy.runtime.operations.box_encoding import BoxEncoding
from lbwdet.deploy.runtime.operations.chosen_pixels import ChosenPixels
from lbwdet.deploy.runtime.operations.distinct_pixels import DistinctPixels
from lbwdet.deploy.runtime.operations.inner_pixels import InnerPixels
from lbwdet.deploy.runtime.operations.proposal_boxes import ProposalBoxes


@rule("inner_pixels")
def inner_pixels(site: Site) -> InnerPixels:
    return InnerPixels(site.value("x"), site.output, float(site.argument("margin")))


@rule("proposal_boxes")
def proposal_boxes(site: Site) -> ProposalBoxes:
    side, margin = (float(site.argument(name)) for name in ("side", "margin"))
    return ProposalBoxes(site.value("deltas"), site.output, side, margin)


@rule("best_pixels")
def best_pixels(site: Site) -> BestPixels:
    count, classes = int(site.argument("count")), int(site.argument("classes"))
    return BestPixels(site.values("scores"), site.output, count, classes)


@rule("distinct_pixels")
def distinct_pixels(site: Site) -> DistinctPixels:
    return DistinctPixels(
        site.values("scores"),
        site.values("boxes"),
        site.output,
        count=int(site.argument("count")),
        iou_threshold=float(site.argument("iou_threshold")),
        among=None if site.argument("among") is None else site.value("among"),
    )


@rule("chosen_pixels")
def chosen_pixels(site: Site) -> ChosenPixels:
    return ChosenPixels(site.values("inputs"), site.value("numbers"), site.output)


@rule("box_encoding")
def box_encoding(site: Site) -> BoxEncoding:
    return BoxEncoding(
        site.value("input"),
        site.output,
        channels=int(site.argument("channels")),
        order=tuple(int(number) for number in site.argument("order")),
        temperature=float(site.argument("temperature")),
        scale=float(site.argument("scale")),
    )
