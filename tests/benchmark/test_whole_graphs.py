"""A whole detector as one graph in another engine gives MMDetection's own detections."""

import importlib

import numpy as np
import pytest
import torch

from lbwdet.benchmark.peers import TorchBenchmark, set_input_size
from lbwdet.benchmark.settings import Bench, BenchmarkSettings
from lbwdet.benchmark.whole_graphs import PRECISIONS, WholeGraphs
from lbwdet.configs import load_config
from lbwdet.testing import tiny_config
from lbwdet.training.build import build_model

SIZE = (64, 96)
IMAGE = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)
FEW_BOXES = {
    "faster-rcnn_r50_fpn": {"model.test_cfg.rcnn.score_thr": 0.0},
    "retinanet_r50_fpn": {"model.test_cfg.score_thr": 0.0, "model.test_cfg.max_per_img": 20},
}


@pytest.fixture(scope="module", params=FEW_BOXES)
def bench(request, tmp_path_factory):
    """Of a detector with random weights, in which scores differ."""
    folder = tmp_path_factory.mktemp("whole")
    config, checkpoint = str(folder / "config.py"), str(folder / "random.pth")
    cfg = tiny_config(folder, folder, model=request.param)
    set_input_size(cfg, SIZE)
    cfg.dump(config)
    options = FEW_BOXES[request.param]
    torch.manual_seed(0)
    model = build_model(load_config(config, options))
    for name, parameter in model.named_parameters():
        if "rpn_" in name or "bbox_head" in name:
            parameter.data.normal_(0, 0.05)
    torch.save(dict(state_dict=model.state_dict()), checkpoint)
    settings = BenchmarkSettings(
        config=config,
        checkpoint=checkpoint,
        input_size=SIZE,
        threads=1,
        cfg_options=options,
    )
    return Bench(settings, folder / "none.lbw", folder)


@pytest.mark.parametrize("engine", PRECISIONS)
def test_the_same_detections(bench, engine):
    pytest.importorskip(engine)
    settings = bench.settings
    torch_engine = TorchBenchmark(
        settings.config, settings.checkpoint, 1, SIZE, settings.cfg_options
    )
    boxes, scores, labels = torch_engine.detect(IMAGE)
    assert len(scores) > 10
    specs = list(WholeGraphs(bench, [IMAGE]).specs(engine))
    assert bench.unavailable == {}
    assert [spec.name for spec in specs] == [f"{engine}-{p}-whole" for p in PRECISIONS[engine]]
    for spec in specs:
        whole = getattr(importlib.import_module(spec.module), spec.attribute)(**spec.arguments)
        found = whole.detect(IMAGE)
        if "fp32" in spec.name:
            assert np.allclose(found[1], scores, atol=1e-4)
            same = found[2] == labels
            assert same.mean() > 0.9  # of equal scores either may come first
            assert np.allclose(found[0][same], boxes[same], atol=0.05)
        else:
            near = np.abs(found[0][:, None] - boxes).max(2) < 4
            print(spec.name, near.any(1).mean(), len(found[1]))
