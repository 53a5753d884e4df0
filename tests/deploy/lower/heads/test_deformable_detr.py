import pytest

from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.operations.best_pixels import BestPixels
from lbwdet.deploy.runtime.operations.deformable_attention import DeformableAttention
from lbwdet.errors import ConfigError
from tests.deploy.lower.heads.deformable import transformer


@pytest.fixture
def detr(one_stage):
    def build(channels=16, changes=None, **settings):
        model = one_stage(transformer("DeformableDETR", channels, settings) | (changes or {}))
        model.level_embed.data.normal_()
        return model

    return build


@pytest.mark.parametrize("refine", [False, True], ids=["plain", "refined"])
def test_equals_mmdetection_and_runs_in_integers(whole, tiny, detr, refine):
    model = detr(with_box_refine=refine)
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    found = [o for o in lowered.program.operations if isinstance(o, DeformableAttention)]
    assert [o.references is None for o in found] == [True] * 4 + [False] * 2


def test_two_stages(whole, tiny, detr):
    model = detr(256, as_two_stage=True, with_box_refine=True)
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    (best,) = [o for o in lowered.program.operations if isinstance(o, BestPixels)]
    assert (best.count, best.classes) == (9, 1)


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        ({"data_preprocessor.pad_size_divisor": 32}, {}, "pad_size_divisor=32 cannot be lowered"),
        ({}, dict(as_two_stage=True, num_feature_levels=6), "num_feature_levels=6 cannot be low"),
    ],
)
def test_what_is_refused(tiny, detr, changes, settings, message):
    with pytest.raises(ConfigError, match=message):
        lower(detr(changes=changes, **settings), tiny.pipeline)
