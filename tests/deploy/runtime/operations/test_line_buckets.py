import numpy as np
import pytest
import torch
from mmdet.models.roi_heads.bbox_heads import SABLHead

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.line_buckets import LineBuckets
from lbwdet.errors import ArtifactError


@pytest.mark.parametrize("length, count", [(7, 2), (3, 1)])
def test_sides_are_those_of_mmdetection(length, count):
    random = np.random.default_rng(0)
    x = random.normal(0, 1, (3, 1, length, count)).astype(np.float32)
    y = random.normal(0, 1, (3, length, 1, count)).astype(np.float32)
    found = compute_alone(Example(LineBuckets("x", "y", "z"), {"x": x, "y": y}))
    head = SABLHead.__new__(SABLHead)
    torch.nn.Module.__init__(head)
    head.up_reg_feat_size = length * count
    sides = [head.side_aware_split(torch.from_numpy(line.reshape(3, -1))) for line in (x, y)]
    assert np.array_equal(found[:, 0, 0], torch.cat(sides, -1).numpy())


def test_lines_of_other_lengths():
    values = {n: np.zeros((1, *s, 2), np.float32) for n, s in (("x", (1, 3)), ("y", (4, 1)))}
    with pytest.raises(ArtifactError, match="do not fit together"):
        check_alone(Example(LineBuckets("x", "y", "z"), values))
