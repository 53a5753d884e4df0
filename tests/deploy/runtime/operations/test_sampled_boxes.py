import numpy as np
import pytest
import torch
from mmdet.models.dense_heads import TOODHead

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.coders import DeltaCoder, DistanceCoder
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.sampled_boxes import SampledBoxes
from lbwdet.errors import ArtifactError

STRIDE, SCALE, SIDE = 8, 1.25, 64.0
OFFSETS = 3.0  # so far that some samples lie outside
FREE = DistanceCoder(clip=False, exponential=True, of_prior=True)
ANCHORED = DeltaCoder((0.0,) * 4, (0.1, 0.1, 0.2, 0.2), 16 / 1000, clip=False)


def drawn(height, width):
    random = np.random.default_rng(0)
    deltas = random.normal(0, 1, (1, height, width, 4)).astype(np.float32)
    offsets = random.normal(0, OFFSETS, (1, height, width, 8)).astype(np.float32)
    return dict(deltas=deltas, offsets=offsets)


@pytest.fixture
def theirs():
    """Boxes as TOODHead's own forward makes them, in pixels, of given deltas and offsets."""

    def compute(anchor_type, values):
        anchors = dict(
            type="AnchorGenerator",
            ratios=[1.0],
            octave_base_scale=SIDE / STRIDE,
            scales_per_octave=1,
            strides=[STRIDE],
        )
        coder = dict(type="DeltaXYWHBBoxCoder", target_stds=[0.1, 0.1, 0.2, 0.2])
        head = TOODHead(
            2,
            8,
            feat_channels=8,
            stacked_convs=1,
            anchor_type=anchor_type,
            anchor_generator=anchors,
            bbox_coder=coder,
            norm_cfg=None,
        )
        head.scales[0].scale.data.fill_(SCALE)
        maps = {name: torch.from_numpy(x).permute(0, 3, 1, 2) for name, x in values.items()}
        head.tood_reg.forward = lambda _: maps["deltas"].clone()
        head.reg_offset_module.forward = lambda _: maps["offsets"]
        with torch.no_grad():
            _, (boxes,) = head([torch.zeros(1, 8, *maps["deltas"].shape[2:])])
        return boxes[0].permute(1, 2, 0).numpy() * STRIDE

    return compute


@pytest.mark.parametrize("anchor_type", ["anchor_free", "anchor_based"])
def test_boxes_are_those_of_mmdetection(theirs, anchor_type):
    values = drawn(6, 9)
    expected = theirs(anchor_type, values)
    free = anchor_type == "anchor_free"
    half = SCALE * STRIDE / 2 if free else SIDE / 2
    if not free:
        values["deltas"] = values["deltas"] * np.float32(SCALE)
    operation = SampledBoxes(
        "deltas", "offsets", "y", FREE if free else ANCHORED, STRIDE, (-half, -half, half, half)
    )
    found = compute_alone(Example(operation, values))
    assert found.dtype == np.float32 and found.shape == (1, 6, 9, 4)
    y, x = np.mgrid[:6, :9] * STRIDE
    boxes = found[0] * [-1, -1, 1, 1] + np.stack([x, y, x, y], -1)
    np.testing.assert_allclose(boxes, expected, atol=2e-3, rtol=1e-5)
    # Some were turned inside out by their offsets, and are their own; others are not.
    values["offsets"] = np.zeros_like(values["offsets"])
    own = compute_alone(Example(operation, values))
    same = np.isclose(own, found, atol=1e-4).all(-1)
    assert 0 < same.sum() < same.size


@pytest.mark.parametrize(
    ("channels", "coder", "message"),
    [
        ((4, 6), FREE, "4 deltas and 6 offsets"),
        ((8, 8), FREE, "8 deltas and 8 offsets"),
        ((4, 8), DistanceCoder(), "one that clips"),
        ((4, 8), DistanceCoder(clip=False, bins=5), "other than 4 numbers"),
    ],
)
def test_what_does_not_fit_is_refused(channels, coder, message):
    deltas, offsets = (np.zeros((1, 2, 3, count), np.float32) for count in channels)
    operation = SampledBoxes("deltas", "offsets", "y", coder, 8, (0.0, 0.0, 1.0, 1.0))
    with pytest.raises(ArtifactError, match=message):
        check_alone(Example(operation, dict(deltas=deltas, offsets=offsets)))
