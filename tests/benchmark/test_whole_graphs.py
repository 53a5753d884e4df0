"""A whole detector as one graph in another engine gives MMDetection's own detections."""

import importlib

import numpy as np
import pytest
import torch

from lbwdet.benchmark.peers import TorchBenchmark, set_input_size
from lbwdet.benchmark.settings import Bench, BenchmarkSettings
from lbwdet.benchmark.whole_graphs import PRECISIONS, WholeGraphs, write_network
from lbwdet.configs import load_config
from lbwdet.errors import ConfigError
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
def test_the_same_detections(bench, engine, monkeypatch):
    pytest.importorskip(engine)
    settings = bench.settings
    # NNCF takes half a minute for each int8 model
    precisions = ("fp32", "int8") if "roi_head" in load_config(settings.config).model else ("fp32",)
    monkeypatch.setitem(PRECISIONS, engine, precisions)
    files = settings.config, settings.checkpoint
    boxes, scores, labels = TorchBenchmark(*files, 1, SIZE, settings.cfg_options).detect(IMAGE)
    assert len(scores) > 10
    plain, *int8 = WholeGraphs(bench, [IMAGE]).specs(engine)
    assert bench.unavailable == {}
    names = [f"{engine}-{precision}-whole" for precision in precisions]
    assert [spec.name for spec in (plain, *int8)] == names
    found = load(plain).detect(IMAGE)
    assert np.allclose(found[1], scores, atol=1e-4)
    same = found[2] == labels
    assert same.mean() > 0.9  # of equal scores either may come first
    assert np.allclose(found[0][same], boxes[same], atol=0.05)
    for spec in int8:
        near = np.abs(load(spec).detect(IMAGE)[0][:, None] - boxes).max(2) < 4
        assert near.any(1).mean() > 0.7  # as of the project's own integers
        found = load(spec, input_size=(96, 64)).detect(IMAGE)  # calibrated at another
        assert len(found[0]) == len(found[1]) == len(found[2]) > 0


def load(spec, **changes):
    kind = getattr(importlib.import_module(spec.module), spec.attribute)
    return kind(**(spec.arguments | changes))


def test_what_computes_boxes_stays_float(bench):
    pytest.importorskip("onnx")
    network = write_network(bench, bench.folder)
    import onnx

    nodes = {node.name: node for node in onnx.load(str(network.path)).graph.node}
    kinds = {nodes[name].op_type for name in network.of_boxes}
    assert {"NonMaxSuppression", "TopK", "Exp"} <= kinds
    assert not {"Conv", "Gemm", "Relu"} & kinds
    others = {node.op_type for name, node in nodes.items() if name not in network.of_boxes}
    assert {"Conv", "Relu", "MaxPool"} <= others and "RoiAlign" not in others


def test_a_detector_that_cannot_be_exported_is_noted(bench, monkeypatch):
    pytest.importorskip("onnxruntime")

    def refuse(*_, **__):
        raise ConfigError("no such operation\n  somewhere \nas this\n")

    monkeypatch.setattr("lbwdet.benchmark.whole_graphs.lower", refuse)
    refused = Bench(bench.settings, bench.artifact, bench.folder)
    assert list(WholeGraphs(refused, [IMAGE]).specs("onnxruntime")) == []
    assert refused.unavailable == dict.fromkeys(
        ("onnxruntime-fp32-whole", "onnxruntime-int8-whole"),
        "ConfigError: no such operation ... as this",
    )
