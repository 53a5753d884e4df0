import pytest

from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.operations.attention import Attention
from lbwdet.deploy.runtime.operations.distinct_pixels import DistinctPixels
from lbwdet.deploy.runtime.operations.query_candidates import QueryCandidates
from lbwdet.errors import ConfigError
from tests.deploy.lower.heads.deformable import transformer
from tests.deploy.lower.heads.test_dino import SETTINGS


@pytest.fixture
def ddq(one_stage):
    def build(**settings):
        overlap = dict(type="nms", iou_threshold=0.3)
        changes = transformer("DDQDETR", 32, dict(SETTINGS, dqs_cfg=overlap) | settings)
        model = one_stage(changes)
        model.level_embed.data.normal_()
        for branch in model.bbox_head.reg_branches:
            branch[-1].bias.data[2:] += 1.5  # large boxes, some of which overlap
        return model

    return build


def test_equals_mmdetection_and_runs_in_integers(whole, tiny, ddq):
    model = ddq()
    lowered = lower(model, tiny.pipeline)
    values = whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    first, second = (o for o in lowered.program.operations if isinstance(o, DistinctPixels))
    assert (first.count, first.iou_threshold, first.among, second.among) == (9, 0.3, None, None)
    assert len(first.scores) == 2 and len(second.scores) == 1
    assert -1 in values[second.output]  # some are dropped
    attention = [o for o in lowered.program.operations if isinstance(o, Attention)]
    assert [o.kept for o in attention] == [None, second.output]
    (last,) = [o for o in lowered.program.operations if isinstance(o, QueryCandidates)]
    assert last.among == second.output


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(dqs_cfg=dict(type="soft_nms")), "dqs_cfg={'type': 'soft_nms'} cannot be lowered"),
        (dict(num_feature_levels=7), "num_feature_levels=7 cannot be lowered"),
    ],
)
def test_what_is_refused(tiny, ddq, settings, message):
    with pytest.raises(ConfigError, match=message):
        lower(ddq(**settings), tiny.pipeline)
