from dataclasses import replace

import numpy as np
import pytest
import torch
from mmdet.structures.mask import mask2bbox
from torch.nn import functional as F

from lbwdet.deploy.runtime.alone import check_alone, compute_alone, run_alone
from lbwdet.deploy.runtime.masks import Mask
from lbwdet.deploy.runtime.native_library import NativeError
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.errors import ArtifactError


def test_candidates_taken_apart():
    rows = np.float32([[1, 2, 3, 4, 0.5, 2, 0], [5, 6, 7, 8, 0.25, 0, 1]])
    boxes, scores, labels = compute_alone(Example(Detections("x", 3), {"x": rows}))
    assert boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert scores.tolist() == [0.5, 0.25] and labels.tolist() == [2, 0]
    assert (boxes.dtype, scores.dtype, labels.dtype) == (np.float32, np.float32, np.int64)
    assert boxes.flags.owndata and scores.flags.owndata  # not views that keep all else alive


def test_nothing():
    found = compute_alone(Example(Detections("x", 3), {"x": np.zeros((0, 7), np.float32)}))
    assert [value.shape for value in found] == [(0, 4), (0,), (0,)]
    assert [value.dtype for value in found] == [np.float32, np.float32, np.int64]


def test_masks_are_in_the_pixels_of_the_image():
    rows = np.float32([[1, 2, 3, 4, 0.5, 2, 0], [0, 0, 4, 3, 0.25, 0, 1]])
    masks = np.stack([np.ones((2, 2, 1)), np.zeros((2, 2, 1))]).astype(np.float32)
    values, image = {"x": rows, "m": masks}, np.zeros((5, 6, 3), np.uint8)
    case = Example(Detections("x", 3, "m", 0.5), values, image=image)
    *_, (first, second) = compute_alone(case)
    assert first.tolist() == [7, 2, 3, 2, 16]  # rows 2 and 3 of columns 1 and 2
    assert second.tolist() == [30]


def test_as_many_masks_as_candidates():
    case = Example(
        Detections("x", 3, "m"),
        {"x": np.zeros((2, 7), np.float32), "m": np.zeros((3, 2, 2, 1), np.float32)},
    )
    with pytest.raises(ArtifactError, match="'m' has not one mask for each of 'x'"):
        check_alone(case)


def test_masks_of_the_whole_image():
    """A left half in a canvas of 8 x 8 pixels, of which the image's are 6 x 4."""
    mask = np.zeros((1, 2, 2, 1), np.float32)
    mask[:, :, 0] = 1.0
    values, image = {"x": np.zeros((1, 7), np.float32), "m": mask}, np.zeros((6, 8, 3), np.uint8)
    runs = {
        extent: compute_alone(
            Example(
                Detections("x", 3, "m", 0.5, mask_extent=extent, mask_factor=4),
                values,
                image=image,
                resized=(6, 4),
            )
        )[3][0].tolist()
        for extent in ("bounds", "canvas", "scaled")
    }
    assert runs["bounds"] == [0, 48]  # the first four columns of the canvas are all of the image
    assert runs["canvas"] == [0, 24, 24]  # the image's half
    # The canvas becomes 16 rows, of which 6 count, and 8 columns: each side by the other's factor.
    assert runs["scaled"] == [0, 24, 24]


def test_masks_cropped_by_their_boxes():
    masks, image = np.ones((1, 8, 8, 1), np.float32), np.zeros((8, 16, 3), np.uint8)
    rows = np.float32([[8, 3, 10, 4, 0.5, 0, 0]])
    operation = Detections("x", 3, "m", 0.5, mask_extent="canvas", mask_cropped=True)
    *_, (runs,) = compute_alone(Example(operation, {"x": rows, "m": masks}, image=image))
    pixels = Mask((8, 16), runs).pixels()
    assert np.array_equal(pixels.any(1), [False, False, True, True, True, False, False, False])
    assert pixels.any(0).nonzero()[0].tolist() == [6, 7, 8, 9, 10, 11]


def test_masks_at_their_threshold_take_no_more_memory_than_was_planned():
    """Rounding takes such a mask to and fro, from pixel to pixel; there is room for one of them."""
    operation = Detections("x", 3, "m", 0.4, mask_extent="canvas", mask_factor=4)

    def case(count):
        masks = np.full((count, 9, 9, 1), 0.4, np.float32)
        values = {"x": np.zeros((count, 7), np.float32), "m": masks}
        return Example(operation, values, image=np.zeros((200, 200, 3), np.uint8))

    (runs,), (expected,) = run_alone(case(1))[3], compute_alone(case(1))[3]
    assert np.array_equal(runs, expected) and len(runs) > (9 + 3) * 200
    with pytest.raises(NativeError, match="more runs than memory is planned for"):
        run_alone(case(40))


def test_boxes_and_scores_of_masks():
    """Logits in half of the pixels that boxes are clipped to, of which there are 5 x 7."""
    logits = np.full((2, 3, 4, 1), -3.0, np.float32)
    logits[0, 1, 1:3] = 5.0
    rows = np.float32([[9, 9, 9, 9, 0.5, 2, 0], [9, 9, 9, 9, 0.25, 1, 1]])
    values, image = {"x": rows, "m": logits}, np.zeros((10, 21, 3), np.uint8)
    operation = Detections(
        "x", 3, "m", 0.0, "bounds", mask_factor=0, boxed_masks=True, scored_masks=True
    )
    case = Example(operation, values, image=image, resized=(5, 7))
    boxes, scores, labels, masks = compute_alone(case)
    larger = F.interpolate(torch.from_numpy(logits[..., 0])[None], (5, 7), mode="bilinear")
    larger = F.interpolate(larger, (10, 21), mode="bilinear")[0]
    inside = larger >= 0
    assert torch.equal(torch.from_numpy(boxes), mask2bbox(inside)) and not boxes[1].any()
    for mask, pixels in zip(masks, inside.numpy(), strict=True):
        assert np.array_equal(Mask((10, 21), mask).pixels(), pixels)
    mean = larger.sigmoid()[inside].mean().item()
    np.testing.assert_allclose(scores, [0.5 * mean, 0], rtol=1e-6)
    plain = replace(operation, scored_masks=False)
    assert compute_alone(replace(case, operation=plain))[1].tolist() == [0.5, 0.25]
    assert labels.tolist() == [2, 1]


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(mask_extent="canvas", mask_factor=0), "mask_factor=0 is for masks up to the bounds"),
        (dict(boxed_masks=True), "boxes or scores from masks of the image, of which there are"),
    ],
)
def test_what_masks_cannot_tell(settings, message):
    values = {"x": np.zeros((2, 7), np.float32), "m": np.zeros((2, 2, 2, 1), np.float32)}
    with pytest.raises(ArtifactError, match=message):
        check_alone(Example(Detections("x", 3, "m", **settings), values))
