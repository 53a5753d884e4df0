"""Files of format 1 are read as what today's engines run, and find what they found."""

import dataclasses
import json

import numpy as np
import pytest

from lbwdet.deploy.runtime.artifact import read_artifact, read_document
from lbwdet.deploy.runtime.coders import DeltaCoder
from lbwdet.deploy.runtime.container import read_container
from lbwdet.deploy.runtime.fields import from_json, to_json
from lbwdet.deploy.runtime.format1 import (
    BoxCoder,
    Detections,
    OldOperation,
    OldProgram,
    Preprocess,
    Proposals,
    Requantize,
)
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.operations import every_operation
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.detections import Detections as Result
from lbwdet.deploy.runtime.operations.lookup import Lookup
from lbwdet.deploy.runtime.operations.preprocess import Preprocess as Preprocessing
from lbwdet.deploy.runtime.operations.region_candidates import RegionCandidates
from lbwdet.deploy.runtime.operations.regions import Regions
from lbwdet.deploy.runtime.operations.rescale import Rescale
from lbwdet.deploy.runtime.operations.suppress import Suppress
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine
from lbwdet.deploy.testing import random_image
from lbwdet.errors import ArtifactError

CODER = BoxCoder((0.0, 0.1, 0.0, 0.0), (0.1, 0.1, 0.2, 0.2), 0.016)
ANCHORS = (((-8.0, -8.0, 8.0, 8.0),), ((-16.0, -16.0, 16.0, 16.0),))
PROPOSALS = Proposals(
    ("s0", "s1"), ("d0", "d1"), "proposals", (4, 8), ANCHORS, CODER, 300, 50, 0.7, 2.0
)
DETECTIONS = Detections("scores", "deltas", "proposals", 3, True, CODER, 0.05, 0.5, 30)

# What the engines of format 1 found in random images, by seed and size: boxes, and scores.
FOUND = {
    (0, (60, 80)): (
        [
            [21.896690368652344, 46.842342376708984, 58.93464660644531, 60.0],
            [42.18315505981445, 45.289024353027344, 77.4388427734375, 60.0],
            [78.94541931152344, 41.77499771118164, 79.98843383789062, 60.0],
        ],
        [0.6297746300697327, 0.6187804341316223, 0.46879062056541443],
    ),
    (3, (45, 70)): (
        [
            [1.2967795133590698, 34.8497428894043, 36.30420684814453, 45.0],
            [29.61149787902832, 34.8728141784668, 60.808616638183594, 45.0],
            [17.781099319458008, 34.440185546875, 49.93710708618164, 45.0],
        ],
        [0.5156199336051941, 0.46879062056541443, 0.46879062056541443],
    ),
    (5, (96, 128)): (
        [
            [97.87963104248047, 0.0, 128.0, 30.460567474365234],
            [94.12167358398438, 50.96094512939453, 127.6119384765625, 77.39936065673828],
            [63.966583251953125, 71.64836120605469, 117.03570556640625, 96.0],
            [101.94581604003906, 67.50288391113281, 127.71427917480469, 96.0],
        ],
        [0.562176525592804, 0.49218812584877014, 0.46879062056541443, 0.46879062056541443],
    ),
}


@pytest.mark.parametrize(("seed", "size"), FOUND)
@pytest.mark.parametrize("name", ["plain", "coded", "plain2", "coded2"])
def test_the_golden_detectors_find_what_they_found(name, seed, size, golden_folder):
    engine = ReferenceEngine(read_artifact(golden_folder / f"{name}.lbw"))
    boxes, scores, labels = engine.detect(random_image(seed, *size))
    expected_boxes, expected_scores = FOUND[seed, size]
    assert boxes.tolist() == expected_boxes and scores.tolist() == expected_scores
    assert labels.tolist() == [0] * len(scores)


@pytest.mark.parametrize("name", ["plain", "coded"])
def test_a_document_is_todays(name, golden_folder, golden_artifact):
    document = read_document(read_container(golden_folder / f"{name}.lbw"))
    assert document.format_version == 2
    assert document.program == golden_artifact.program


def test_coders():
    assert CODER.upgraded() == DeltaCoder(CODER.means, CODER.stds, 0.016, clip=True)


def test_requantized_maps():
    assert Requantize("x", "y").upgraded() == (Lookup("x", "y", "identity"),)


def test_proposals():
    candidates, suppress, regions = PROPOSALS.upgraded()
    assert candidates == Candidates(
        scores=("s0", "s1"),
        deltas=("d0", "d1"),
        output="proposals.candidates",
        strides=(4, 8),
        base_anchors=ANCHORS,
        coder=CODER.upgraded(),
        num_classes=1,
        activation="none",
        pre_nms=300,
        score_threshold=None,
        min_size=2.0,
    )
    assert suppress == Suppress("proposals.candidates", "proposals.kept", 0.7, 50, "level")
    assert regions == Regions("proposals.kept", "proposals")


def test_detections():
    candidates, rescale, suppress, result = DETECTIONS.upgraded()
    assert candidates == RegionCandidates(
        "scores", "deltas", "proposals", "detections.candidates", 3, True, CODER.upgraded(), 0.05
    )
    assert rescale == Rescale("detections.candidates", "detections.rescaled")
    assert suppress == Suppress("detections.rescaled", "detections.kept", 0.5, 30, "class")
    assert result == Result("detections.kept", 3)


def test_what_is_the_same_stays():
    conv = Conv("layer", "image", "x", (1, 1))
    three = (0.0, 1.0, 2.0)
    preprocess = Preprocess("image", (64, 48), True, three, (1.0,) * 3, False, 32)
    assert preprocess.upgraded() == (Preprocessing(**vars(preprocess)),)
    quantizations = {"x": Quantization(0.5)}
    program = OldProgram((conv, Requantize("x", "y"), PROPOSALS, DETECTIONS), quantizations)
    upgraded = program.upgraded()
    assert upgraded.operations[0] is conv and upgraded.quantizations == quantizations
    assert upgraded.operations[1:] == (
        Lookup("x", "y"),
        *PROPOSALS.upgraded(),
        *DETECTIONS.upgraded(),
    )
    assert all(isinstance(operation, Operation) for operation in upgraded.operations)


def test_its_operations_are_not_those_of_today():
    """A file of format 2 may not have them, nor one of format 1 what came later."""
    assert Operation.registry["Detections"] is Result
    assert not {"Proposals", "Requantize"} & set(every_operation())
    fields = json.loads(json.dumps(to_json(PROPOSALS, OldOperation)))
    assert from_json(OldOperation, fields, "here") == PROPOSALS
    with pytest.raises(ArtifactError, match="type is 'Proposals' instead of"):
        from_json(Operation, fields, "here")
    later = to_json(Lookup("x", "y"), Operation)
    with pytest.raises(ArtifactError, match="type is 'Lookup' instead of Preprocess, Conv"):
        from_json(OldOperation, later, "here")


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Detections)])
def test_a_file_of_format_1_has_the_fields_of_format_1(field):
    fields = to_json(DETECTIONS, OldOperation)
    del fields[field]
    with pytest.raises(ArtifactError, match=f"not those of Detections: missing .'{field}'"):
        from_json(OldOperation, fields, "here")


def test_detections_of_format_1_are_those_of_its_parts(golden_folder):
    """Nothing in between is lost: the kept candidates are what is found."""
    engine = ReferenceEngine(read_artifact(golden_folder / "plain.lbw"))
    image = random_image(5, 96, 128)
    values = engine.values(image, ["proposals.kept", "proposals", "detections.kept"])
    assert np.array_equal(values["proposals.kept"][:, :4], values["proposals"])
    assert np.array_equal(values["detections.kept"][:, :4], engine.detect(image)[0])
