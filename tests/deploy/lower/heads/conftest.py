"""Small detectors with one head or another."""

import pytest
import torch

from lbwdet.testing import tiny_config
from lbwdet.training.build import build_model


@pytest.fixture(scope="package")
def one_stage(tiny):
    """Builds one; ``changes`` are merged into the config's model."""

    def build(changes=None, **head):
        config = tiny_config(
            "unused", "unused", model="retinanet_r50_fpn", quant=dict(weight=dict(bit_width=5))
        )
        config.merge_from_dict({f"model.{key}": value for key, value in (changes or {}).items()})
        if head:
            config.model.bbox_head = dict(num_classes=2, in_channels=16, **head)
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
