"""A tiny detector with random weights and batch norm statistics, and what it is lowered to."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from lbwdet.deploy.lower import lower
from lbwdet.testing import tiny_config
from lbwdet.training.build import build_model

PIPELINE = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(96, 64), keep_ratio=True),
    dict(type="PackDetInputs"),
]


def tiny_detector(quant=None, **changes):
    """A detector in eval mode; ``changes`` are dotted config keys with ``__`` for dots."""
    config = tiny_config(
        "unused", "unused", quant=quant, changes={k.replace("__", "."): changes[k] for k in changes}
    )
    torch.manual_seed(0)
    model = build_model(config).eval()
    randomize_(model)
    return model


@torch.no_grad()
def randomize_(model: nn.Module) -> None:
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
            layer.weight.uniform_(0.5, 1.5)
            layer.bias.normal_(0, 0.1)
    for name, parameter in model.named_parameters():
        if name.startswith(("rpn_head.", "roi_head.")) and parameter.dim() >= 2:
            parameter.normal_(0, 0.1)


@pytest.fixture(scope="session")
def tiny() -> SimpleNamespace:
    """A 4-bit detector with float predictors, what it is lowered to, and an image."""
    model = tiny_detector(
        dict(
            weight=dict(bit_width=4),
            keep_float=["*fc_cls"],
            overrides={"neck.*": dict(bit_width=6)},
        )
    )
    return SimpleNamespace(
        model=model,
        pipeline=PIPELINE,
        lowered=lower(model, PIPELINE),
        image=np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8),
        build=tiny_detector,
    )
