import torch
from mmdet.registry import MODELS


def test_only_the_maps_with_anchors_are_looked_at():
    head = MODELS.build(
        dict(
            type="FirstLevelsRPNHead",
            in_channels=8,
            feat_channels=8,
            anchor_generator=dict(type="AnchorGenerator", scales=[8], ratios=[1.0], strides=[16]),
        )
    )
    first, last = torch.randn(1, 8, 5, 6), torch.randn(1, 99, 5, 6)  # 99 channels: no match
    scores, boxes = head((first, last))
    assert [part.shape for part in scores] == [(1, 1, 5, 6)]
    assert torch.equal(boxes[0], head((first,))[1][0])
