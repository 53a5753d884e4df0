"""A new operation is one Python file and one C++ file: both lie here, and nothing else knows them.

docs/adding_an_operation.md shows these two files.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lbwdet.deploy.artifact_writer import write_artifact
from lbwdet.deploy.runtime import native_library
from lbwdet.deploy.runtime.alone import check_alone, compute_alone, run_alone
from lbwdet.deploy.runtime.artifact import Artifact, read_artifact
from lbwdet.deploy.runtime.fields import from_json, to_json
from lbwdet.deploy.runtime.native import instruction_sets
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.program import Program
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine
from lbwdet.deploy.testing import random_image, tiny_artifact
from lbwdet.errors import ArtifactError
from tests.deploy.csrc import build
from tests.deploy.new_operation.invert import Invert

HERE = Path(__file__).parent
SEEDS = range(20)


@pytest.fixture(scope="module")
def library():
    if build.COMPILER is None:
        pytest.skip("no C++ compiler")
    return native_library.load(build.library(HERE / "invert.cpp"))


@pytest.fixture
def inverted():
    """A whole detector that sees the negative of every image."""
    artifact = tiny_artifact()
    first, *others = artifact.program.operations
    quantizations = dict(artifact.program.quantizations)
    quantizations["negative"] = quantizations["image"]
    operations = (
        first,
        Invert("image", "negative"),
        *(o.renamed({"image": "negative"}) for o in others),
    )
    return Artifact(Program(operations, quantizations), artifact.weights, artifact.classes, {})


def test_it_is_registered_and_read_from_json():
    operation = Invert("x", "y")
    assert Operation.registry["Invert"] is Invert
    assert (
        from_json(Operation, json.loads(json.dumps(to_json(operation, Operation))), "here")
        == operation
    )


def test_validation_asks_its_declaration():
    example = Invert.example(np.random.default_rng(0))
    check_alone(example)
    other = replace(example.quantizations["x"], maximum=7, zero_point=0)
    wrong = replace(example, quantizations={**example.quantizations, "y": other})
    with pytest.raises(ArtifactError, match="differ in quantization"):
        check_alone(wrong)


def test_native_is_the_reference(library):
    for isa, usable in instruction_sets().items():
        for seed in SEEDS if usable else ():
            example = Invert.example(np.random.default_rng(seed))
            expected = compute_alone(example)
            for border in (0, 2):
                found = run_alone(example, library, isa=isa, border=border)
                assert found.tobytes() == expected.tobytes()


def test_a_whole_detector_is_written_read_and_run(inverted, tmp_path):
    write_artifact(tmp_path / "inverted.lbw", inverted)
    read = read_artifact(tmp_path / "inverted.lbw")
    assert read.program == inverted.program
    image = random_image(0, 60, 80)
    values = ReferenceEngine(read).values(image, ["image", "negative"])
    assert np.array_equal(values["negative"], 255 - values["image"])


def test_a_build_without_it_says_so(inverted):
    from lbwdet.deploy.runtime.native import NativeEngine, NativeError

    if native_library.library_path() is None:
        pytest.skip("the native engine is not built")
    with pytest.raises(NativeError, match="Invert"):
        NativeEngine(inverted)
