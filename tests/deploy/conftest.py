"""Detectors with random weights, artifacts made by hand, and artifacts made wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lbwdet.configs import load_config
from lbwdet.deploy.artifact_writer import artifact_bytes
from lbwdet.deploy.runtime.artifact import Artifact, checksum
from lbwdet.deploy.runtime.coders import DeltaCoder
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.deploy.runtime.operations.preprocess import Preprocess
from lbwdet.deploy.runtime.operations.region_candidates import RegionCandidates
from lbwdet.deploy.runtime.operations.regions import Regions
from lbwdet.deploy.runtime.operations.rescale import Rescale
from lbwdet.deploy.runtime.operations.roi_align import RoIAlign
from lbwdet.deploy.runtime.operations.suppress import Suppress
from lbwdet.deploy.runtime.program import Program
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.weights import StoredWeight
from lbwdet.deploy.testing import tiny_artifact
from lbwdet.testing import tiny_config
from lbwdet.training.build import build_model

RFCN = Path(__file__).parents[2] / "configs" / "lbw_rfcn_toy_4bit.py"
SMALL_RFCN = {
    "model.backbone.base_channels": 8,
    "model.rpn_head.in_channels": 32,
    "model.rpn_head.feat_channels": 16,
    "model.roi_head.bbox_head.in_channels": 64,
    "model.roi_head.bbox_head.feat_channels": 16,
    "model.roi_head.bbox_head.num_classes": 2,
}
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
    from lbwdet.deploy.lower import lower

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
        randomize_=randomize_,
    )


@pytest.fixture(scope="session")
def tiny_rfcn(tiny) -> SimpleNamespace:
    """A 4-bit R-FCN, what it is lowered to, and an image."""
    from lbwdet.deploy.lower import lower

    torch.manual_seed(0)
    model = build_model(load_config(RFCN, SMALL_RFCN)).eval()
    randomize_(model)
    for predictor in (model.roi_head.bbox_head.fc_cls, model.roi_head.bbox_head.fc_reg):
        predictor.weight.data.mul_(4)  # votes of cells that know nothing come near zero
    return SimpleNamespace(
        model=model, pipeline=PIPELINE, lowered=lower(model, PIPELINE), image=tiny.image
    )


Change = Callable[[Any], Any]


@pytest.fixture(scope="session")
def small_file() -> bytes:
    """A small detector's file; entropy-coded where that is shorter."""
    return artifact_bytes(tiny_artifact(channels=2, num_classes=2), entropy_coding=True)


@pytest.fixture
def tampered(small_file: bytes, tmp_path: Path) -> Callable[..., Path]:
    """Writes the small file with changes, and a checksum that fits them.

    ``document`` and ``header`` are changed in place; ``data`` returns the new data.
    """

    def write(
        document: Change = lambda document: None,
        header: Change = lambda header: None,
        data: Change = lambda data: data,
    ) -> Path:
        length = int.from_bytes(small_file[:8], "little")
        table = json.loads(small_file[8 : 8 + length])
        content = data(small_file[8 + length :])
        value = json.loads(table["__metadata__"]["lbwdet"])
        document(value)
        text = json.dumps(value)
        table["__metadata__"] = {"lbwdet": text, "crc32": checksum(text, content)}
        header(table)
        encoded = json.dumps(table).encode()
        path = tmp_path / "tampered.lbw"
        path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + content)
        return path

    return write


def _weight(codes: Any, scale: Any, code: str, bit_width: int, magnitudes: int) -> StoredWeight:
    """With gain 1 and bias 0, 1, 2, ... in eighths."""
    array = np.array(codes, np.int8)
    outputs = len(array)
    return StoredWeight(
        codes=array if array.ndim == 4 else array.reshape(outputs, -1, 1, 1),
        scale=np.array(scale, np.float32),
        code=code,
        bit_width=bit_width,
        num_magnitudes=magnitudes,
        gain=np.ones(outputs, np.float32),
        bias=np.arange(outputs, dtype=np.float32) / 8,
    )


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    return Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def golden_artifact() -> Artifact:
    """What the files in ``golden`` hold: the smallest detector there can be, written out."""
    coder = DeltaCoder((0.0, 0.0, 0.0, 0.0), (1.0, 1.0, 1.0, 1.0), 0.015625)
    operations = (
        Preprocess("image", (64, 48), True, (128.0,) * 3, (64.0,) * 3, True, 4),
        Conv("rpn.cls", "image", "logits", (1, 1), stride=(4, 4)),
        Conv("rpn.reg", "image", "deltas", (1, 1), stride=(4, 4)),
        Candidates(
            scores=("logits",),
            deltas=("deltas",),
            output="proposals.candidates",
            strides=(4,),
            base_anchors=(((-8.0, -8.0, 8.0, 8.0),),),
            coder=coder,
            num_classes=1,
            activation="none",
            pre_nms=10,
            min_size=0.0,
        ),
        Suppress("proposals.candidates", "proposals.kept", 0.75, 5, "level"),
        Regions("proposals.kept", "proposals"),
        RoIAlign(("image",), "proposals", "rois", (1,), 5, 2, 56.0),
        Conv("fc", "rois", "hidden", (5, 5), relu=True),
        Conv("fc.cls", "hidden", "scores", (1, 1)),
        Conv("fc.reg", "hidden", "refined", (1, 1)),
        RegionCandidates(
            "scores", "refined", "proposals", "detections.candidates", 1, False, coder, 0.0625
        ),
        Rescale("detections.candidates", "detections.rescaled"),
        Suppress("detections.rescaled", "detections.kept", 0.5, 5, "class"),
        Detections("detections.kept", 1),
    )
    step = Quantization(0.015625, zero_point=128)
    number = np.arange(150)
    mostly_zero = np.where(number % 6 == 0, number * number % 33 - 16, 0)
    weights = {
        "rpn.cls": _weight([[1, -1, 0]], [2.0], "dense", 2, 1),
        "rpn.reg": _weight(
            [[3, -3, 0], [1, 2, 3], [-1, -2, -3], [0, 1, 0]], [1, 0.5, 0.25, 4], "dense", 3, 3
        ),
        "fc": _weight(mostly_zero.reshape(2, 3, 5, 5), [0.5], "paper", 6, 16),
        "fc.cls": _weight([[1, -1], [-1, -1]], [0.375], "paper", 1, 1),
        "fc.reg": _weight([[64, -64], [0, 1], [-1, 0], [2, 3]], [0.0078125] * 4, "uniform", 8, 0),
    }
    return Artifact(
        Program(operations, {"image": step, "rois": step, "hidden": Quantization(0.0625)}),
        weights,
        ("cell",),
        {"made": "by hand"},
    )
