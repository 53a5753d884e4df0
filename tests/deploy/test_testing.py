import numpy as np
import pytest

from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.deploy.runtime.operations.max_pool import MaxPool
from lbwdet.deploy.runtime.operations.ps_roi_align import PSRoIAlign
from lbwdet.deploy.runtime.operations.region_candidates import RegionCandidates
from lbwdet.deploy.runtime.operations.rescale import Rescale
from lbwdet.deploy.runtime.operations.roi_align import RoIAlign
from lbwdet.deploy.runtime.operations.suppress import Suppress
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine
from lbwdet.deploy.runtime.validate import check_artifact
from lbwdet.deploy.testing import (
    random_image,
    random_weight,
    tiny_artifact,
    tiny_rfcn_artifact,
)


@pytest.mark.parametrize("bit_width", [1, 2, 4, 6])
@pytest.mark.parametrize("code", ["paper", "dense"])
@pytest.mark.parametrize("granularity", ["tensor", "channel"])
def test_the_tiny_detector_is_a_valid_artifact(bit_width, code, granularity):
    artifact = tiny_artifact(0, bit_width, code, granularity)
    check_artifact(artifact.program, artifact.weights, artifact.classes)
    kinds = {type(operation) for operation in artifact.program.operations}
    assert kinds >= {Conv, MaxPool, Candidates, Suppress, RoIAlign}
    assert kinds >= {RegionCandidates, Rescale, Detections}
    assert {weight.bit_width for weight in artifact.weights.values()} == {bit_width, 8}


@pytest.mark.parametrize("options", [{}, dict(grid_size=7, sampling_ratio=0, num_classes=1)])
def test_the_tiny_rfcn_is_a_valid_artifact(options):
    artifact = tiny_rfcn_artifact(**options)
    check_artifact(artifact.program, artifact.weights, artifact.classes)
    operations = artifact.program.operations
    assert sum(isinstance(operation, PSRoIAlign) for operation in operations) == 2
    dilated = [op for op in operations if isinstance(op, Conv) and op.dilation == (2, 2)]
    assert [op.output for op in dilated] == ["stage4.2"]
    assert not any(isinstance(operation, RoIAlign) for operation in operations)


def test_seeds_decide_everything():
    one, same, other = (tiny_artifact(seed) for seed in (0, 0, 1))
    assert one.program == same.program
    for name, weight in one.weights.items():
        assert np.array_equal(weight.codes, same.weights[name].codes)
    assert not np.array_equal(one.weights["stem"].codes, other.weights["stem"].codes)
    assert np.array_equal(random_image(3, 9, 7), random_image(3, 9, 7))


@pytest.mark.parametrize("make", [tiny_artifact, tiny_rfcn_artifact])
def test_its_values_are_neither_empty_nor_saturated(make):
    artifact = make()
    engine = ReferenceEngine(artifact)
    names = list(artifact.program.quantizations)
    for name, value in engine.values(random_image(0, 75, 100), names).items():
        assert (value == 255).mean() < 0.2, name
        assert value.std() > 5, name


def test_a_random_weight_keeps_the_size_of_its_input():
    random = np.random.default_rng(0)
    for code in ("paper", "dense", "uniform"):
        weight = random_weight(random, (64, 32, 3, 3), 4, code, "channel")
        x = random.normal(0, 1, (288, 1000))
        y = (weight.dequantize().reshape(64, 288) @ x) * weight.gain[:, None]
        assert 0.8 < y.std() < 1.2
