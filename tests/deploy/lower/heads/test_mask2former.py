import pytest

from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.operations.attention import Attention
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.errors import ConfigError
from tests.deploy.lower.heads.query_masks import build, mask2former

OBJECTS = dict(panoptic_on=False, semantic_on=False, instance_on=True, max_per_image=20)


def test_equals_mmdetection_and_runs_in_integers(whole, tiny):
    model = build(tiny, "Mask2Former", mask2former(), test_cfg=OBJECTS)
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image, best_first=False)
    whole.check_engines(lowered, tiny.image)
