from dataclasses import replace

import numpy as np
import pytest

from lbwdet.deploy.runtime.alone import NativeAlone, check_alone, compute_alone, run_alone
from lbwdet.deploy.runtime.native_library import NativeError, library_path
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.deploy.runtime.operations.lookup import Lookup
from lbwdet.deploy.runtime.operations.region_candidates import RegionCandidates
from lbwdet.deploy.runtime.operations.regions import Regions
from lbwdet.deploy.runtime.operations.rescale import Rescale
from lbwdet.deploy.runtime.operations.upsample import Upsample
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine
from lbwdet.deploy.runtime.shapes import Map
from lbwdet.deploy.testing import random_image, tiny_artifact
from lbwdet.errors import ArtifactError

WHOLE = Quantization(1.0)


def test_an_operation_alone_computes_what_it_computes_in_its_program():
    artifact = tiny_artifact(activation_bits=4, channels=2)
    image, quantizations = random_image(0, 60, 80), artifact.program.quantizations
    names = [operation.written for operation in artifact.program.operations[:-1]]
    values = ReferenceEngine(artifact).values(image, names)
    resized = artifact.program.operations[0].resized(60, 80)
    for operation in artifact.program.operations[:-1]:
        example = Example(operation, values, quantizations, artifact.weights, image, resized)
        assert np.array_equal(compute_alone(example), values[operation.written]), operation.title


def test_an_example_without_a_size_has_that_of_its_image():
    rows = np.ones((1, 7), np.float32)
    image = np.zeros((20, 40, 3), np.uint8)
    for resized, expected in ((None, [1, 1, 1, 1]), ((10, 80), [0.5, 2, 0.5, 2])):
        example = Example(Rescale("x", "y"), {"x": rows}, image=image, resized=resized)
        assert compute_alone(example)[0, :4].tolist() == expected


def test_values_are_those_of_the_example():
    x = np.array([[[[1, 2]]]], np.uint8)
    example = Example(Lookup("x", "y"), {"x": x}, dict.fromkeys("xy", Quantization(0.5)))
    assert np.array_equal(compute_alone(example), x)


def test_an_operation_alone_is_validated_as_in_a_program():
    x = np.zeros((1, 4, 6, 2), np.uint8)
    quantizations = {"x": Quantization(0.5, 3), "y": Quantization(0.5)}
    example = Example(Upsample("x", "y", (2, 3)), {"x": x}, quantizations)
    with pytest.raises(ArtifactError, match=r"operation 0 \(Upsample\): input and output differ"):
        check_alone(example)
    found = check_alone(replace(example, quantizations={**quantizations, "y": quantizations["x"]}))
    assert isinstance(found, Map) and found.quantization == quantizations["x"]
    assert (found.channels, found.height.smallest, found.width.smallest) == (2, 8, 18)


def test_maps_of_boxes_are_known_as_such():
    case = RegionCandidates.example(np.random.default_rng(1))
    assert check_alone(case).classes == case.operation.num_classes
    values = {**case.values, "boxes": case.values["boxes"][:-1]}
    with pytest.raises(ArtifactError, match="not one pixel per box"):
        check_alone(replace(case, values=values))


@pytest.mark.skipif(library_path() is None, reason="the native engine is not built")
class TestNative:
    def test_a_map(self):
        x = np.arange(48, dtype=np.uint8).reshape(1, 4, 6, 2)
        example = Example(Upsample("x", "y", (2, 3)), {"x": x}, dict.fromkeys("xy", WHOLE))
        assert np.array_equal(run_alone(example), compute_alone(example))
        for border in (0, 2):
            with NativeAlone(example, border=border, threads=2) as engine:
                assert np.array_equal(engine.run(), compute_alone(example))

    def test_candidates(self):
        rows = np.arange(21, dtype=np.float32).reshape(3, 7)
        found = run_alone(Example(Regions("x", "y"), {"x": rows}))
        assert found.dtype == np.float32 and np.array_equal(found, rows[:, :4])

    def test_the_result(self):
        rows = np.arange(21, dtype=np.float32).reshape(3, 7)
        example = Example(Detections("x", 20), {"x": rows})
        for ours, theirs in zip(run_alone(example), compute_alone(example), strict=True):
            assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)

    def test_what_the_library_refuses(self):
        with pytest.raises(NativeError, match="sse9"):
            NativeAlone(Example(Regions("x", "y"), {"x": np.zeros((1, 7))}), isa="sse9")

    def test_closed_twice(self):
        engine = NativeAlone(Example(Regions("x", "y"), {"x": np.zeros((1, 7), np.float32)}))
        engine.close()
        engine.close()
