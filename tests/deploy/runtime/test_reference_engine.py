import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest

from lbwdet.deploy.runtime.context import LayerNumbers
from lbwdet.deploy.runtime.native import NativeEngine
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.region_candidates import RegionCandidates
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine, run_program
from lbwdet.deploy.testing import random_image, tiny_artifact, tiny_rfcn_artifact
from lbwdet.errors import ConfigError

DETECTORS = [
    (tiny_artifact, dict()),
    (tiny_artifact, dict(bit_width=2, granularity="channel")),
    (tiny_artifact, dict(bit_width=6, code="paper", activation_bits=4)),
    (tiny_artifact, dict(class_agnostic=True, keep_ratio=False, num_classes=1)),
    (tiny_rfcn_artifact, dict()),
    (tiny_rfcn_artifact, dict(grid_size=7, sampling_ratio=0)),
]


@pytest.mark.parametrize(
    ("make", "settings"), DETECTORS, ids=lambda part: getattr(part, "__name__", str(part))
)
def test_a_whole_detector(make, settings):
    artifact = make(**settings)
    engine = ReferenceEngine(artifact)
    image = random_image(0, 75, 110)
    boxes, scores, labels = engine.detect(image)
    count = len(scores)
    assert count > 5
    assert boxes.shape == (count, 4) and boxes.dtype == np.float32
    assert labels.shape == (count,) and labels.dtype == np.int64
    assert (np.diff(scores) <= 0).all() and scores.min() > 0.05
    assert boxes.min() >= 0 and boxes[:, 2].max() <= 110.001 and boxes[:, 3].max() <= 75.001
    assert set(labels) <= set(range(len(artifact.classes)))
    again = ReferenceEngine(make(**settings)).detect(image)
    assert all(np.array_equal(a, b) for a, b in zip((boxes, scores, labels), again, strict=True))


def test_values_by_name():
    engine = ReferenceEngine(tiny_artifact())
    values = engine.values(random_image(0, 60, 80), ["p2", "p6", "proposals", "rois"])
    assert list(values) == ["p2", "p6", "proposals", "rois"]
    assert values["p2"].shape == (1, 24, 32, 16) and values["p2"].dtype == np.uint8
    assert values["p6"].shape == (1, 2, 2, 16)
    assert values["proposals"].dtype == np.float32
    assert values["rois"].shape == (len(values["proposals"]), 7, 7, 16)
    with pytest.raises(ConfigError, match=r"no value is called p7; there are image, stem, .*kept"):
        engine.values(random_image(0, 60, 80), ["p2", "p7"])


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (300, 2), (17, 31)])
def test_images_of_any_size(shape):
    boxes, scores, _ = ReferenceEngine(tiny_artifact()).detect(random_image(0, *shape))
    assert np.isfinite(boxes).all() and np.isfinite(scores).all()


def test_it_needs_neither_torch_nor_mmdet_nor_opencv():
    program = (
        "import sys; import lbwdet.deploy.runtime.reference_engine; "
        "print([m for m in ('torch', 'mmdet', 'mmcv', 'mmengine', 'cv2') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


def layers(artifact, make=LayerNumbers.integer):
    return {name: make(weight) for name, weight in artifact.weights.items()}


def test_every_value_is_observed_once_and_in_order():
    artifact, seen = tiny_artifact(channels=2), []
    values, found = run_program(
        artifact.program,
        layers(artifact),
        random_image(0, 60, 80),
        lambda name, value: seen.append((name, value)),
    )
    names = [operation.written for operation in artifact.program.operations[:-1]]
    assert [name for name, _ in seen] == list(values) == names
    assert all(value is values[name] for name, value in seen)
    expected = ReferenceEngine(artifact).detect(random_image(0, 60, 80))
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_program_that_is_not_calibrated_runs_in_reals():
    """Of which its integers are a good copy once their range is that of the reals."""
    artifact, image = tiny_artifact(bit_width=4), random_image(0, 75, 110)
    numbers = layers(artifact, LayerNumbers.real)
    program = replace(artifact.program, quantizations={})
    reals, _ = run_program(program, numbers, image)
    assert {value.dtype for value in reals.values()} == {np.dtype(np.float32)}
    ranges = {}
    for name, q in artifact.program.quantizations.items():
        reach = np.abs(reals[name]).max() / (127 if q.zero_point else 255)
        ranges[name] = Quantization(float(reach), 128 if q.zero_point else 0)
    ranges["pooled"], ranges["p6"] = ranges["stem"], ranges["p5"]
    integers, _ = run_program(
        replace(artifact.program, quantizations=ranges), layers(artifact), image
    )
    for name in ("image", "stem", "pooled", "stage1.3", "stage4.3", "p2", "p5", "p6"):
        q = ranges[name]
        found = (integers[name].astype(np.float64) - q.zero_point) * q.scale
        assert found.shape == reals[name].shape
        assert np.corrcoef(found.ravel(), reals[name].ravel())[0, 1] > 0.99, name


def test_some_values_in_reals():
    """Calibration needs it: quantize one value after the other."""
    artifact, image = tiny_artifact(channels=2), random_image(0, 60, 80)
    quantizations = dict(artifact.program.quantizations)
    step = quantizations.pop("stem").scale
    del quantizations["pooled"]
    program = replace(artifact.program, quantizations=quantizations)
    values, _ = run_program(program, layers(artifact), image)
    whole, _ = run_program(artifact.program, layers(artifact), image)
    assert values["stem"].dtype == np.float32 and values["stage1.1"].dtype == np.uint8
    assert np.abs(values["stem"].clip(0, 255 * step) - whole["stem"] * step).max() <= step


def test_infinite_boxes_are_no_news():
    """What numpy would warn of is defined, and the same in the native engine."""
    artifact = tiny_artifact(channels=2, size=(48, 32))
    operations = list(artifact.program.operations)
    for index, operation in enumerate(operations):
        if isinstance(operation, Candidates | RegionCandidates):
            coder = replace(operation.coder, clip=False, stds=(1e6,) * 4)
            operations[index] = replace(operation, coder=coder)
        if isinstance(operation, Candidates):
            operations[index] = replace(operations[index], min_size=-1.0)
    for layer in ("rpn_reg", "fc_reg"):
        artifact.weights[layer].gain[:] *= 2.0**58
    artifact = replace(artifact, program=replace(artifact.program, operations=tuple(operations)))
    image = random_image(0, 40, 60)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = ReferenceEngine(artifact).detect(image)
    assert np.abs(found[0]).max() > 2.0**64  # the square of which no float32 holds
    with NativeEngine(artifact) as engine:
        for ours, theirs in zip(found, engine.detect(image), strict=True):
            assert ours.tobytes() == theirs.tobytes()
