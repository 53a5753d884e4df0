"""PyTorch's faster ways detect what its eager mode does."""

import numpy as np
import pytest
import torch
from torch import nn

from lbwdet.benchmark.peers import TorchBenchmark
from lbwdet.benchmark.torch_modes import ChannelsLastBenchmark, CompiledBenchmark

IMAGE = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)


@pytest.fixture
def arguments(tiny):
    return dict(
        config=tiny.float_config,
        checkpoint=tiny.checkpoint,
        threads=1,
        cfg_options={"model.test_cfg.rcnn.score_thr": 0.0},
    )


def check(engine, arguments):
    expected, found = TorchBenchmark(**arguments).detect(IMAGE), engine.detect(IMAGE)
    assert len(expected[1]) > 10 and engine.dense(IMAGE) > 0
    np.testing.assert_allclose(found[1], expected[1], atol=1e-5)
    np.testing.assert_allclose(found[0], expected[0], atol=0.05)


def test_channels_last(arguments):
    engine = ChannelsLastBenchmark(**arguments)
    layouts = []
    engine.model.backbone.conv1.register_forward_hook(
        lambda _, inputs, output: layouts.extend([inputs[0], output])
    )
    check(engine, arguments)
    assert layouts
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in layouts)


def test_every_network_is_compiled(arguments, monkeypatch):
    compiled = []
    monkeypatch.setattr(nn.Module, "compile", lambda part: compiled.append(part))  # takes a minute
    monkeypatch.setattr("torch._inductor.config.freezing", False)
    engine = CompiledBenchmark(**arguments)
    model = engine.model
    assert compiled == [model.backbone, model.neck, model.rpn_head, model.roi_head.bbox_head]
    assert torch._inductor.config.freezing
    check(engine, arguments)
