import math

import pytest
import torch
from mmdet.models.layers.positional_encoding import SinePositionalEncoding3D

from lbwdet.deploy.lower import lower
from lbwdet.deploy.lower.heads.mask2former import places_of
from lbwdet.deploy.lower.wrapped import Mask2FormerFrames, detector_in
from lbwdet.deploy.runtime.operations.attention import Attention
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.errors import ConfigError
from tests.deploy.lower.heads.query_masks import PLACES, build, mask2former

OBJECTS = dict(panoptic_on=False, semantic_on=False, instance_on=True, max_per_image=20)


def one(lowered, kind):
    (found,) = (o for o in lowered.program.operations if isinstance(o, kind))
    return found


def test_equals_mmdetection_and_runs_in_integers(whole, tiny):
    model = build(tiny, "Mask2Former", mask2former(), test_cfg=OBJECTS)
    lowered = lower(model, tiny.pipeline)
    values = whole.check(model, tiny.pipeline, lowered, tiny.image, best_first=False)
    whole.check_engines(lowered, tiny.image)
    looks = [o.seen for o in lowered.program.operations if isinstance(o, Attention) and o.seen]
    heights = [values[name].shape[1] for name in looks]
    assert heights == [heights[0], 2 * heights[0], 4 * heights[0], heights[0]]
    assert all(0.05 < (values[name] < 0).mean() < 0.95 for name in looks)  # some of it is not seen
    assert (one(lowered, Candidates).pre_nms, one(lowered, Candidates).things) == (20, 0)
    assert one(lowered, Detections).mask_factor == 4


def test_objects_of_a_panoptic_detector(whole, tiny):
    """Classes that are no objects compete with the others, and are no detections."""
    both = dict(OBJECTS, panoptic_on=True)
    model = build(tiny, "Mask2Former", mask2former(2, 3), test_cfg=both)
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image, best_first=False)
    candidates = one(lowered, Candidates)
    assert (candidates.num_classes, candidates.things, candidates.pre_nms) == (5, 2, 20)


def frames(tiny):
    head = mask2former()
    for name in ("num_things_classes", "num_stuff_classes"):
        head.pop(name)
    head.update(
        type="Mask2FormerTrackHead",
        num_classes=2,
        positional_encoding=dict(PLACES, type="SinePositionalEncoding3D"),
    )
    return build(
        tiny,
        "Mask2FormerVideo",
        head,
        track_head=head,
        data_preprocessor=dict(
            type="TrackDataPreprocessor",
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True,
            pad_size_divisor=32,
        ),
    )


def test_single_images_of_a_video(whole, tiny):
    model = frames(tiny)
    detector, preprocessor = detector_in(model)
    assert type(detector) is Mask2FormerFrames and preprocessor is model.data_preprocessor
    lowered = lower(model, tiny.pipeline)
    detector.data_preprocessor = tiny.model.data_preprocessor  # of images, no videos
    whole.check(detector, tiny.pipeline, lowered, tiny.image, best_first=False)
    whole.check_engines(lowered, tiny.image)
    assert not one(lowered, Detections).scored_masks


@pytest.mark.parametrize("normalize", [True, False])
def test_where_pixels_of_a_frame_are(normalize):
    encoding = SinePositionalEncoding3D(4, normalize=normalize, scale=math.pi, offset=-0.5)
    expected = encoding(torch.zeros(1, 1, 3, 5, dtype=torch.bool))[0]
    found = places_of(encoding, torch.zeros(1, 1, 3, 5))
    torch.testing.assert_close(found, expected.flatten(2).transpose(1, 2))


def test_boxes_without_the_masks_that_they_are_around(tiny):
    model = build(tiny, "Mask2Former", mask2former(), test_cfg=OBJECTS)
    with pytest.raises(ConfigError, match="boxes of Mask2Former are those around its masks"):
        lower(model, tiny.pipeline, boxes_only=True)


def test_what_is_refused(tiny):
    model = build(tiny, "Mask2Former", mask2former(), test_cfg=OBJECTS)
    model.data_preprocessor.pad_size_divisor = 6
    with pytest.raises(ConfigError, match="pad_size_divisor=6 cannot be lowered; give 1 or a mul"):
        lower(model, tiny.pipeline)
    encoder = model.panoptic_head.pixel_decoder.encoder
    encoder.__class__ = type("OwnEncoder", (type(encoder),), {})
    with pytest.raises(ConfigError, match="encoder: OwnEncoder cannot be lowered"):
        lower(model, tiny.pipeline)
