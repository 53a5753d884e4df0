import torch
from torch import nn

from lbwdet.deploy.lower.proposals import (
    best_pixels,
    box_encoding,
    chosen_pixels,
    inner_pixels,
    proposal_boxes,
)
from lbwdet.deploy.runtime.operations.best_pixels import BestPixels
from lbwdet.deploy.runtime.operations.box_encoding import BoxEncoding
from lbwdet.deploy.runtime.operations.chosen_pixels import ChosenPixels
from lbwdet.deploy.runtime.operations.inner_pixels import InnerPixels
from lbwdet.deploy.runtime.operations.proposal_boxes import ProposalBoxes


def test_each_call_is_an_operation(lowering):
    torch.manual_seed(0)
    net = nn.ModuleList([nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1), nn.Conv2d(4, 5, 2, stride=2)])

    def compute(net, x):
        inner = inner_pixels(net[0](x), 0.1)
        maps = [net[1](inner), net[2](inner)]
        boxes = [proposal_boxes(x[:, 1:], 0.1 * 2**i, 0.1) for i, x in enumerate(maps)]
        chosen = chosen_pixels(boxes, best_pixels([x[:, :1] for x in maps], 7, 1))
        return box_encoding(chosen, 6, [1, 0, 3], 100.0, 5.0)

    part = lowering.check(compute, torch.randn(1, 3, 8, 6), net=net)
    *_, best, chosen, encoding = part.operations
    kinds = [type(operation) for operation in part.operations]
    assert kinds.count(ProposalBoxes) == 2 and kinds.count(InnerPixels) == 1
    assert isinstance(best, BestPixels) and (best.count, best.classes) == (7, 1)
    assert isinstance(chosen, ChosenPixels) and chosen.numbers == best.output
    assert isinstance(encoding, BoxEncoding)
    assert (encoding.channels, encoding.order) == (6, (1, 0, 3))
    assert (encoding.temperature, encoding.scale) == (100.0, 5.0)
