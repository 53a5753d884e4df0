"""Small detectors with one head or another."""

import pytest
import torch

from lbwdet.testing import tiny_config
from lbwdet.training.build import build_model

EXTRACTOR = dict(
    type="SingleRoIExtractor",
    roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=0),
    out_channels=16,
    featmap_strides=[4, 8, 16, 32],
)


@pytest.fixture(scope="package")
def one_stage(tiny):
    """Builds one; ``changes`` are merged into the config's model."""

    def build(changes=None, **head):
        config = tiny_config(
            "unused", "unused", model="retinanet_r50_fpn", quant=dict(weight=dict(bit_width=5))
        )
        config.merge_from_dict({f"model.{key}": value for key, value in (changes or {}).items()})
        if head:
            config.model.bbox_head = {"num_classes": 2, "in_channels": 16, **head}
        torch.manual_seed(0)
        model = build_model(config).eval()
        tiny.randomize_(model)
        with torch.no_grad():
            for name, parameter in model.bbox_head.named_parameters():
                if parameter.dim() >= 2:
                    parameter.normal_(0, 0.1)
                elif name.startswith("scales."):
                    parameter.uniform_(0.5, 1.5)
        return model

    return build


def _cascade(**box_head):
    common = dict(
        type="Shared2FCBBoxHead",
        in_channels=16,
        fc_out_channels=32,
        roi_feat_size=7,
        num_classes=2,
        loss_bbox=dict(type="SmoothL1Loss"),
        **box_head,
    )
    return dict(
        type="CascadeRoIHead",
        num_stages=3,
        stage_loss_weights=[1, 0.5, 0.25],
        bbox_roi_extractor=EXTRACTOR,
        bbox_head=[
            dict(
                common,
                bbox_coder=dict(
                    type="DeltaXYWHBBoxCoder", target_stds=[0.1 / n, 0.1 / n, 0.2 / n, 0.2 / n]
                ),
            )
            for n in (1, 2, 3)
        ],
    )


@pytest.fixture(scope="package")
def cascade():
    """Settings of region heads of three stages, each with boxes of a finer scale."""
    return _cascade
