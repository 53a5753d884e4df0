"""TridentNet beside MMDetection."""

import pytest
from torch import nn

from lbwdet.deploy.lower import lower
from lbwdet.errors import ConfigError


@pytest.fixture
def build(two_stage):
    def build(branch):
        backbone = dict(
            type="TridentResNet",
            depth=50,
            base_channels=4,
            num_stages=3,
            strides=(1, 2, 2),
            dilations=(1, 1, 1),
            out_indices=(2,),
            trident_dilations=(1, 2, 3),
            num_branch=3,
            test_branch_idx=branch,
        )
        model = two_stage(
            "TridentFasterRCNN",
            dict(type="TridentRoIHead", num_branch=3, test_branch_idx=branch),
            model=dict(
                backbone=backbone,
                neck=dict(type="FPN", in_channels=[64], out_channels=16, num_outs=5),
            ),
        )
        for module in model.modules():
            if type(module).__name__.endswith("TridentConv"):  # whatever was in memory before
                nn.init.kaiming_normal_(module.weight)
        return model

    return build


def test_equals_mmdetection(whole, tiny, build):
    model = build(2)
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    dilations = {getattr(operation, "dilation", None) for operation in lowered.program.operations}
    assert (3, 3) in dilations and (2, 2) not in dilations


def test_all_branches(tiny, build):
    with pytest.raises(ConfigError, match="test_branch_idx=-1, all branches, cannot be lowered"):
        lower(build(-1), tiny.pipeline)
