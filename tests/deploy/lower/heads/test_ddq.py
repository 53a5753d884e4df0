import pytest
import torch

from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.operations.attention import Attention
from lbwdet.deploy.runtime.operations.distinct_pixels import DistinctPixels
from lbwdet.deploy.runtime.operations.query_candidates import QueryCandidates
from lbwdet.errors import ConfigError
from tests.deploy.lower.heads.deformable import transformer
from tests.deploy.lower.heads.test_dino import SETTINGS


@pytest.fixture
def ddq(one_stage):
    def build(layers=2, **settings):
        overlap = dict(type="nms", iou_threshold=0.3)
        changes = transformer("DDQDETR", 32, dict(SETTINGS, dqs_cfg=overlap) | settings)
        changes["decoder"]["num_layers"] = layers
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


@pytest.mark.parametrize("queries", [16, 30], ids=["of queries", "of proposals, too"])
def test_what_overlaps_is_dropped_layer_after_layer(whole, tiny, ddq, queries):
    model = ddq(num_queries=queries, layers=4, test_cfg=dict(_delete_=True, max_per_img=6))
    torch.manual_seed(2)
    for branch in model.bbox_head.cls_branches:
        branch.weight.data.normal_()  # scores that differ by much, in another order in each layer
    lowered = lower(model, tiny.pipeline)
    values = whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    chosen = [values[o.output] for o in lowered.program.operations if isinstance(o, DistinctPixels)]
    left = [set(numbers[numbers >= 0].tolist()) for numbers in chosen]
    assert len(left[0]) == min(queries, 26)  # of 30 pixels some overlap
    assert 3 <= len(left[-1]) <= len(left[-2]) < queries  # MMDetection needs 3 for its 6 boxes
    assert 0 not in left[-1] | left[-2]  # else all queries would count again


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
