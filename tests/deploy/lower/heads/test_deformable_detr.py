import copy

import pytest

from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.operations.deformable_attention import DeformableAttention
from lbwdet.errors import ConfigError

SELF = dict(embed_dims=16, num_heads=2, dropout=0.0, batch_first=True)
DEFORMABLE = dict(SELF, num_levels=2, num_points=2)
FFN = dict(embed_dims=16, feedforward_channels=24, num_fcs=2, act_cfg=dict(type="ReLU"))
CHANGES = {
    "detector": "DeformableDETR",
    "num_queries": 9,
    "num_feature_levels": 2,
    "backbone.out_indices": (2, 3),
    "neck": dict(
        _delete_=True,
        type="ChannelMapper",
        in_channels=[32, 64],
        kernel_size=1,
        out_channels=16,
        act_cfg=None,
        num_outs=2,
    ),
    "encoder": dict(num_layers=2, layer_cfg=dict(self_attn_cfg=DEFORMABLE, ffn_cfg=FFN)),
    "decoder": dict(
        num_layers=2,
        layer_cfg=dict(self_attn_cfg=SELF, cross_attn_cfg=DEFORMABLE, ffn_cfg=FFN),
        return_intermediate=True,
        post_norm_cfg=None,
    ),
    "bbox_head": dict(
        _delete_=True,
        type="DeformableDETRHead",
        num_classes=2,
        embed_dims=16,
        loss_cls=dict(type="FocalLoss", use_sigmoid=True),
    ),
    "positional_encoding": dict(num_feats=8, normalize=True, offset=-0.5),
    "data_preprocessor.pad_size_divisor": 1,
    "train_cfg": None,
    "test_cfg": dict(_delete_=True, max_per_img=7),
}


@pytest.fixture
def detr(one_stage):
    def build(changes=None):
        # MMDetection changes the settings that it builds from.
        model = one_stage(copy.deepcopy(CHANGES | (changes or {})))
        model.level_embed.data.normal_()
        return model

    return build


@pytest.mark.parametrize("refine", [False, True], ids=["plain", "refined"])
def test_equals_mmdetection_and_runs_in_integers(whole, tiny, detr, refine):
    model = detr(dict(with_box_refine=refine))
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    found = [o for o in lowered.program.operations if isinstance(o, DeformableAttention)]
    assert [o.references is None for o in found] == [True] * 4 + [False] * 2


def test_padded_images_are_refused(tiny, detr):
    with pytest.raises(ConfigError, match="pad_size_divisor=32 cannot be lowered"):
        lower(detr({"data_preprocessor.pad_size_divisor": 32}), tiny.pipeline)
