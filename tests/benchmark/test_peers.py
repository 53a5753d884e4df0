"""The float detector's graphs in other engines give MMDetection's own detections."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lbwdet.benchmark.graphs import calibration_inputs, make_graphs, takes_maps
from lbwdet.benchmark.peers import GraphBenchmark, TorchBenchmark
from lbwdet.configs import load_config
from lbwdet.testing import tiny_config
from lbwdet.training.build import build_model

CONFIGS = Path(__file__).parents[2] / "configs"
ENGINES = ["onnxruntime", "openvino", "ncnn"]


@pytest.fixture(scope="module", params=["frcnn", "rfcn", "retinanet"])
def arguments(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    checkpoint = str(folder / "random.pth")
    if request.param == "retinanet":
        config = str(folder / "retinanet.py")
        tiny_config(folder, folder, model="retinanet_r50_fpn").dump(config)
        options = {"model.test_cfg.score_thr": 0.0, "model.test_cfg.max_per_img": 20}
    else:
        config = str(CONFIGS / f"lbw_{request.param}_toy_fp32.py")
        options = {"model.test_cfg.rcnn.score_thr": 0.0, "model.test_cfg.rpn.max_per_img": 20}
    torch.manual_seed(0)
    model = build_model(load_config(config, options))
    for name, parameter in model.named_parameters():
        if "rpn_" in name or "bbox_head" in name:
            parameter.data.normal_(0, 0.05)
    torch.save(dict(state_dict=model.state_dict()), checkpoint)
    return dict(
        config=config, checkpoint=checkpoint, threads=1, input_size=(64, 96), cfg_options=options
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_detections(arguments, engine, tmp_path):
    pytest.importorskip(engine)
    image = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)
    peer = TorchBenchmark(**arguments)
    assert takes_maps(peer)
    inputs = calibration_inputs(peer, [image])
    assert set(inputs) == ({"dense", "head"} if "frcnn" in arguments["config"] else {"dense"})
    boxes, scores, labels = peer.detect(image)
    assert len(scores) > 10 and peer.dense(image) > 0
    if engine == "ncnn" and "head" in inputs:
        with pytest.raises(RuntimeError, match="regions are many"):
            make_graphs(engine, "fp32", peer, inputs, tmp_path)
        return
    for name in ("dense-fp32.onnx", "dense.ncnn.param"):
        (tmp_path / name).write_text("of another detector, measured before")
    graphs = make_graphs(engine, "fp32", peer, inputs, tmp_path)
    graph = GraphBenchmark(engine, **graphs, **arguments)
    found = graph.detect(image)
    assert graph.dense(image) > 0
    assert np.allclose(found[1], scores, atol=1e-4)
    assert (found[2] == labels).mean() > 0.9  # of equal scores either may come first
    same = found[2] == labels
    assert np.allclose(found[0][same], boxes[same], atol=0.05)


def test_a_head_that_computes_more_than_the_graph_is_not_given_its_maps():
    # RTMDet's forward ends with the exponential and the stride, which deployment has in its coder
    model = build_model(load_config("mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py"))
    assert not takes_maps(SimpleNamespace(model=model))
