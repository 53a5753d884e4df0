"""ncnn's files give the network's own maps; MMDetection's boxes of them: test_peers.py."""

import numpy as np
import pytest
import torch

from lbwdet.benchmark.graphs import calibration_inputs, make_graphs
from lbwdet.benchmark.peers import TorchBenchmark
from lbwdet.benchmark.runners import load_ncnn

pytest.importorskip("ncnn")
pytest.importorskip("pnnx")


def test_a_focus_and_no_int8(tmp_path):
    config = "mmdet::yolox/yolox_nano_8xb8-300e_coco.py"
    torch.manual_seed(0)
    peer = TorchBenchmark(config, None, 1, input_size=(96, 128))
    image = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)
    inputs = calibration_inputs(peer, [image])
    focus = peer.model.backbone.stem
    weight = focus.conv.conv.weight.data.clone()
    with torch.no_grad():
        expected = [
            level.numpy()
            for kind in peer.model(torch.from_numpy(inputs["dense"][0]))
            for level in kind
        ]
    graphs = make_graphs("ncnn", "fp32", peer, inputs, tmp_path)
    found = load_ncnn(graphs["dense_graph"], 1)(inputs["dense"][0])
    assert len(found) == len(expected) == 9
    for one, other in zip(found, expected, strict=True):
        assert np.allclose(one, other, atol=1e-4 * np.abs(other).max())
    assert torch.equal(focus.conv.conv.weight, weight) and "forward" not in vars(focus)
    with pytest.raises(RuntimeError, match="a program of its own"):
        make_graphs("ncnn", "int8", peer, inputs, tmp_path)
