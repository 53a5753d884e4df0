import pytest

from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.operations.best_pixels import BestPixels
from lbwdet.deploy.runtime.operations.box_encoding import BoxEncoding
from lbwdet.errors import ConfigError
from tests.deploy.lower.heads.deformable import transformer

SETTINGS = dict(
    with_box_refine=True,
    as_two_stage=True,
    dn_cfg=dict(label_noise_scale=0.5, box_noise_scale=1.0, group_cfg=dict(num_dn_queries=10)),
)


@pytest.fixture
def dino(one_stage):
    def build(**settings):
        model = one_stage(transformer("DINO", 256, SETTINGS | settings))
        model.level_embed.data.normal_()
        return model

    return build


def test_equals_mmdetection_and_runs_in_integers(whole, tiny, dino):
    model = dino()
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    (best,) = [o for o in lowered.program.operations if isinstance(o, BestPixels)]
    assert (best.count, best.classes) == (9, 2)
    encodings = [o for o in lowered.program.operations if isinstance(o, BoxEncoding)]
    assert [(o.channels, o.order) for o in encodings] == [(128, (1, 0, 2, 3))] * 2


def test_another_decoder_is_refused(tiny, dino):
    model = dino()
    model.decoder.__class__ = type("OwnDecoder", (type(model.decoder),), {})
    with pytest.raises(ConfigError, match="decoder: OwnDecoder cannot be lowered"):
        lower(model, tiny.pipeline)
