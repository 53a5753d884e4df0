"""A lowered detector computes what MMDetection does, with any of the fusions or none."""

import copy

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose

from lbwdet.deploy.calibration import calibrate
from lbwdet.deploy.calibration.convolution import convolve
from lbwdet.deploy.lower import building, lower
from lbwdet.deploy.lower.fusions import FUSIONS
from lbwdet.deploy.lower.head import head_of
from lbwdet.deploy.runtime.artifact import Artifact
from lbwdet.deploy.runtime.context import LayerNumbers
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine, run_program
from lbwdet.deploy.runtime.validate import check_artifact
from lbwdet.errors import ConfigError

CLASSES = ("red", "green")
TALL = np.random.default_rng(1).integers(0, 256, (150, 60, 3), dtype=np.uint8)


def in_reals(lowered, image):
    layers = {name: LayerNumbers.real(weight) for name, weight in lowered.weights.items()}
    return run_program(lowered.program, layers, image, convolve=convolve)


@torch.no_grad()
def mmdet_values(model, pipeline, image):
    """What MMDetection itself computes: the dense part's maps, and the detections."""
    steps = [dict(step, type=f"mmdet.{step['type']}") for step in pipeline]
    data = Compose([dict(type="mmdet.LoadImageFromNDArray"), *steps[1:]])(dict(img=image, img_id=0))
    batch = dict(inputs=[data["inputs"]], data_samples=[data["data_samples"]])
    found = model.test_step(batch)[0].pred_instances
    return head_of(model).dense(model, model.data_preprocessor(batch)["inputs"]), found


def dense_outputs(program):
    """Names of what the dense part of a two-stage detector gives, in the head's order."""
    operations = {type(op).__name__: op for op in program.operations}
    maps = [op.input for op in program.operations if type(op).__name__ == "PSRoIAlign"]
    if "RoIAlign" in operations:
        maps = operations["RoIAlign"].inputs
    return [*maps, *operations["Candidates"].scores, *operations["Candidates"].deltas]


def check_equal(model, pipeline, lowered, image):
    values, (boxes, scores, labels) = in_reals(lowered, image)
    maps, found = mmdet_values(model, pipeline, image)
    for name, expected in zip(dense_outputs(lowered.program), maps, strict=True):
        difference = torch.from_numpy(values[name]).permute(0, 3, 1, 2) - expected
        assert difference.abs().max() < 1e-4 * expected.abs().max(), name
    assert len(found.bboxes) > 5
    torch.testing.assert_close(torch.from_numpy(boxes), found.bboxes, atol=1e-2, rtol=1e-4)
    torch.testing.assert_close(torch.from_numpy(scores), found.scores, atol=1e-5, rtol=1e-4)
    assert np.array_equal(labels, found.labels)


@pytest.fixture(scope="module")
def low_bit(tiny):
    """A detector with every layer quantized (a float one would be stored in 8 bits), lowered."""
    model = tiny.build(dict(weight=dict(bit_width=5)))
    return model, lower(model, tiny.pipeline)


def test_equals_the_fake_quantized_detector(tiny, low_bit):
    model, lowered = low_bit
    check_equal(model, tiny.pipeline, lowered, tiny.image)
    check_equal(model, tiny.pipeline, lowered, TALL)


def test_equals_a_detector_of_bottlenecks(tiny):
    model = tiny.build(
        dict(weight=dict(bit_width=2), overrides={"backbone.*": dict(bit_width=6)}),
        model__backbone=dict(depth=50, base_channels=4),
        model__neck__in_channels=[16, 32, 64, 128],
    )
    check_equal(model, tiny.pipeline, lower(model, tiny.pipeline), tiny.image)


def test_equals_rfcn(tiny_rfcn):
    for image in (tiny_rfcn.image, TALL):
        check_equal(tiny_rfcn.model, tiny_rfcn.pipeline, tiny_rfcn.lowered, image)


@pytest.fixture
def traced_once(monkeypatch):
    """Tracing takes most of the time, and fusions come after it."""
    graphs, trace = {}, building.trace

    def remember(model, compute, sample):
        if compute not in graphs:
            graphs[compute] = trace(model, compute, sample)
        return graphs[compute]

    monkeypatch.setattr(building, "trace", remember)


def test_every_fusion_can_be_left_out(tiny, low_bit, traced_once):
    model, fused = low_bit
    sizes = {}
    for left_out in (*FUSIONS, None):
        fusions = [f for f in FUSIONS if f is not left_out] if left_out else []
        lowered = lower(model, tiny.pipeline, fusions)
        check_equal(model, tiny.pipeline, lowered, tiny.image)
        sizes[left_out.name if left_out else "all"] = len(lowered.program.operations)
    most = len(fused.program.operations)
    assert all(size >= most for size in sizes.values())
    for name in ("norm", "residual", "upsampled residual", "relu"):
        assert most < sizes[name] < sizes["all"], name


def test_without_fusions_integers_find_nearly_the_same(tiny, low_bit, traced_once):
    """Values are rounded more often; but for that the program runs like the fused one."""
    model, _ = low_bit
    found = {}
    for name, fusions in (("all", FUSIONS), ("none", ())):
        lowered = lower(model, tiny.pipeline, fusions)
        program = calibrate(lowered.program, lowered.weights, [("noise", tiny.image)])
        check_artifact(program, lowered.weights, CLASSES)
        engine = ReferenceEngine(Artifact(program, lowered.weights, CLASSES, {}))
        found[name] = engine.values(tiny.image, ["neck.fpn_convs.0.conv"]), program
    real = in_reals(lowered, tiny.image)[0]["neck.fpn_convs.0.conv"]
    errors = {}
    for name, (values, program) in found.items():
        ((key, integers),) = values.items()
        q = program.quantizations[key]
        error = (integers.astype(np.float32) - q.zero_point) * np.float32(q.scale) - real
        errors[name] = np.linalg.norm(error) / np.linalg.norm(real)
    assert errors["all"] < errors["none"] < 3 * errors["all"] < 0.2


def test_a_model_in_training_mode_is_refused(tiny):
    with pytest.raises(ConfigError, match="FasterRCNN is in training mode"):
        lower(copy.deepcopy(tiny.model).train(), tiny.pipeline)
