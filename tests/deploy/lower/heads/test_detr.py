import copy

import pytest

from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.operations.query_candidates import QueryCandidates
from lbwdet.errors import ConfigError

ATTENTION = dict(embed_dims=16, num_heads=2, dropout=0.0, batch_first=True)
FFN = dict(embed_dims=16, feedforward_channels=24, num_fcs=2, act_cfg=dict(type="ReLU"))
CHANGES = {
    "detector": "DETR",
    "num_queries": 9,
    "backbone.out_indices": (3,),
    "neck": dict(
        _delete_=True,
        type="ChannelMapper",
        in_channels=[64],
        kernel_size=1,
        out_channels=16,
        act_cfg=None,
        num_outs=1,
    ),
    "encoder": dict(num_layers=1, layer_cfg=dict(self_attn_cfg=ATTENTION, ffn_cfg=FFN)),
    "decoder": dict(
        num_layers=2,
        layer_cfg=dict(self_attn_cfg=ATTENTION, cross_attn_cfg=ATTENTION, ffn_cfg=FFN),
        return_intermediate=True,
    ),
    "bbox_head": dict(
        _delete_=True,
        type="DETRHead",
        num_classes=2,
        embed_dims=16,
        loss_cls=dict(type="CrossEntropyLoss", class_weight=1.0),
    ),
    "positional_encoding": dict(num_feats=8, normalize=True),
    "data_preprocessor.pad_size_divisor": 1,
    "train_cfg": None,
    "test_cfg": dict(_delete_=True, max_per_img=7),
}


@pytest.fixture
def detr(one_stage):
    # MMDetection changes the settings that it builds from.
    return lambda changes=None: one_stage(copy.deepcopy(CHANGES | (changes or {})))


def test_equals_mmdetection_and_runs_in_integers(whole, tiny, detr):
    model = detr()
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    (candidates,) = [o for o in lowered.program.operations if isinstance(o, QueryCandidates)]
    assert (candidates.max_boxes, candidates.activation) == (7, "softmax")


def test_another_decoder_is_refused(tiny, detr):
    model = detr()
    model.decoder.__class__ = type("OwnDecoder", (type(model.decoder),), {})
    with pytest.raises(ConfigError, match="decoder: OwnDecoder cannot be lowered"):
        lower(model, tiny.pipeline)


def test_padded_images_are_refused(tiny, detr):
    with pytest.raises(ConfigError, match="pad_size_divisor=32 cannot be lowered"):
        lower(detr({"data_preprocessor.pad_size_divisor": 32}), tiny.pipeline)
