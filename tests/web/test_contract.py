"""The engine as WebAssembly, and the numbers that JavaScript gives it: the reference's bytes."""

import os

import numpy as np
import pytest

import lbwdet.deploy.runtime.operations  # noqa: F401  (registers them)
from lbwdet.deploy.artifact_writer import artifact_bytes
from lbwdet.deploy.runtime.alone import compute_alone, four_dimensional
from lbwdet.deploy.runtime.fields import to_json
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine
from lbwdet.deploy.testing import random_image, tiny_artifact, tiny_rfcn_artifact
from tests.web.conftest import decoded, encoded

CASES = int(os.environ.get("LBWDET_CONTRACT_CASES", "24"))
KINDS = {
    name: kind
    for name, kind in Operation.registry.items()
    if kind.__module__.startswith("lbwdet.deploy.runtime.operations.")
}
ARTIFACTS = {
    "dense": tiny_artifact(),
    "channels": tiny_artifact(3, bit_width=5, granularity="channel", class_agnostic=True),
    "paper": tiny_artifact(1, bit_width=6, code="paper", keep_ratio=False),
    "two-term": tiny_artifact(2, bit_width=4, code="two-term"),
    "4-bit activations": tiny_artifact(5, activation_bits=4),
    "one bit": tiny_artifact(6, bit_width=1, code="paper"),
    "rfcn": tiny_rfcn_artifact(),
}
IMAGES = [random_image(seed, *size) for seed, size in enumerate([(96, 128), (80, 100), (37, 61)])]


def written(example):
    """One example of an operation as a case for Node."""
    whole = four_dimensional(example)
    return {
        "operation": to_json(whole.operation, Operation),
        "values": {name: encoded(value) for name, value in whole.values.items()},
        "quantizations": {
            name: to_json(value, Quantization) for name, value in whole.quantizations.items()
        },
        "weights": {
            name: {
                "shape": weight.codes.shape,
                "arrays": [encoded(getattr(weight, part)) for part in PARTS],
                "code": weight.code,
                "bitWidth": weight.bit_width,
                "numMagnitudes": weight.num_magnitudes,
            }
            for name, weight in whole.weights.items()
        },
        "image": encoded(whole.image),
        "resized": whole.resized or whole.image.shape[:2],
    }


PARTS = ("codes", "scale", "gain", "bias")


def check_detections(found, expected):
    boxes, scores, labels, *masks = found["detections"]
    assert decoded(boxes, np.float32).tobytes() == expected[0].tobytes()
    assert decoded(scores, np.float32).tobytes() == expected[1].tobytes()
    assert decoded(labels, np.int32).tolist() == expected[2].tolist()
    runs = [decoded(mask, np.uint32).tolist() for mask in masks]
    assert runs == [mask.tolist() for mask in (expected[3] if len(expected) > 3 else ())]


def test_every_operation_gives_the_bytes_of_its_reference(run_cases):
    examples = [
        (f"{name} {seed}", kind.example(np.random.default_rng(seed)))
        for name, kind in KINDS.items()
        for seed in range(CASES)
    ]
    results = run_cases([written(example) for _, example in examples])
    problems = []
    for (title, example), found in zip(examples, results, strict=True):
        expected = compute_alone(example)
        if "error" in found:
            problems.append(f"{title}: {found['error']}")
        elif isinstance(expected, tuple):
            check_detections(found, expected)
        elif decoded(found["value"], np.uint8).tobytes() != expected.tobytes():
            problems.append(f"{title}: other bytes")
    assert problems == []


@pytest.mark.parametrize("entropy_coding", [False, True], ids=["bitpack", "deflate"])
def test_detectors_find_the_same_boxes(run_cases, tmp_path, entropy_coding):
    cases = []
    for number, artifact in enumerate(ARTIFACTS.values()):
        path = tmp_path / f"{number}.lbw"
        path.write_bytes(artifact_bytes(artifact, entropy_coding=entropy_coding))
        cases.append({"path": str(path), "images": [encoded(image) for image in IMAGES]})
    for name, found in zip(ARTIFACTS, run_cases(cases), strict=True):
        assert "error" not in found, (name, found)
        engine = ReferenceEngine(ARTIFACTS[name])
        expected = [engine.detect(image) for image in IMAGES]
        assert any(len(boxes) > 0 for boxes, _, _ in expected), name
        for detections, those in zip(found, expected, strict=True):
            check_detections(detections, those)
