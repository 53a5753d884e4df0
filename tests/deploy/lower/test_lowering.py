"""A lowered detector computes what MMDetection does, with any of the fusions or none."""

import copy

import numpy as np
import pytest

from lbwdet.deploy.calibration import calibrate
from lbwdet.deploy.lower import building, lower
from lbwdet.deploy.lower.fusions import FUSIONS
from lbwdet.deploy.runtime.artifact import Artifact
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine
from lbwdet.deploy.runtime.validate import check_artifact
from lbwdet.errors import ConfigError

CLASSES = ("red", "green")
TALL = np.random.default_rng(1).integers(0, 256, (150, 60, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def low_bit(tiny):
    """A detector with every layer quantized (a float one would be stored in 8 bits), lowered."""
    model = tiny.build(dict(weight=dict(bit_width=5)))
    return model, lower(model, tiny.pipeline)


def test_equals_the_fake_quantized_detector(whole, tiny, low_bit):
    model, lowered = low_bit
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check(model, tiny.pipeline, lowered, TALL)


def test_equals_a_detector_of_bottlenecks(whole, tiny):
    model = tiny.build(
        dict(weight=dict(bit_width=2), overrides={"backbone.*": dict(bit_width=6)}),
        model__backbone=dict(depth=50, base_channels=4),
        model__neck__in_channels=[16, 32, 64, 128],
    )
    whole.check(model, tiny.pipeline, lower(model, tiny.pipeline), tiny.image)


def test_equals_rfcn(whole, tiny_rfcn):
    for image in (tiny_rfcn.image, TALL):
        whole.check(tiny_rfcn.model, tiny_rfcn.pipeline, tiny_rfcn.lowered, image)


@pytest.fixture
def traced_once(monkeypatch):
    """Tracing takes most of the time, and fusions come after it."""
    graphs, trace = {}, building.trace

    def remember(model, compute, sample):
        if compute not in graphs:
            graphs[compute] = trace(model, compute, sample)
        return graphs[compute]

    monkeypatch.setattr(building, "trace", remember)


def test_every_fusion_can_be_left_out(whole, tiny, low_bit, traced_once):
    model, fused = low_bit
    sizes = {}
    for left_out in (*FUSIONS, None):
        fusions = [f for f in FUSIONS if f is not left_out] if left_out else []
        lowered = lower(model, tiny.pipeline, fusions)
        whole.check(model, tiny.pipeline, lowered, tiny.image)
        sizes[left_out.name if left_out else "all"] = len(lowered.program.operations)
    most = len(fused.program.operations)
    assert all(size >= most for size in sizes.values())
    for name in ("norm", "residual", "upsampled residual", "relu"):
        assert most < sizes[name] < sizes["all"], name


def test_without_fusions_integers_find_nearly_the_same(whole, tiny, low_bit, traced_once):
    """Values are rounded more often; but for that the program runs like the fused one."""
    model, _ = low_bit
    found = {}
    for name, fusions in (("all", FUSIONS), ("none", ())):
        lowered = lower(model, tiny.pipeline, fusions)
        program = calibrate(lowered.program, lowered.weights, [("noise", tiny.image)])
        check_artifact(program, lowered.weights, CLASSES)
        engine = ReferenceEngine(Artifact(program, lowered.weights, CLASSES, {}))
        found[name] = engine.values(tiny.image, ["neck.fpn_convs.0.conv"]), program
    real = whole.in_reals(lowered, tiny.image)[0]["neck.fpn_convs.0.conv"]
    errors = {}
    for name, (values, program) in found.items():
        ((key, integers),) = values.items()
        q = program.quantizations[key]
        error = (integers.astype(np.float32) - q.zero_point) * np.float32(q.scale) - real
        errors[name] = np.linalg.norm(error) / np.linalg.norm(real)
    assert errors["all"] < errors["none"] < 3 * errors["all"] < 0.2


def test_a_model_without_the_parts_of_its_head_is_refused_in_a_sentence(tiny):
    model = copy.deepcopy(tiny.model)
    del model.rpn_head
    with pytest.raises(ConfigError, match="FasterRCNN cannot be lowered: it has not the parts of"):
        lower(model, tiny.pipeline)


def test_a_model_in_training_mode_is_refused(tiny):
    with pytest.raises(ConfigError, match="FasterRCNN is in training mode"):
        lower(copy.deepcopy(tiny.model).train(), tiny.pipeline)


def test_a_detector_is_traced_at_the_only_size_of_its_images(tiny, monkeypatch):
    """A network like that of SSD300 has none of its smallest maps at another."""
    sizes, trace = [], building.Building.trace

    def traced(self, compute, sample, source):
        sizes.append(tuple(sample.shape))
        return trace(self, compute, sample, source)

    monkeypatch.setattr(building.Building, "trace", traced)
    load, resize, pack = tiny.pipeline
    lower(tiny.model, [load, dict(resize, scale=(160, 96), keep_ratio=False), pack])
    lower(tiny.model, tiny.pipeline)
    assert sizes[0] == (1, 3, 96, 160) and (1, 3, 128, 192) in sizes
