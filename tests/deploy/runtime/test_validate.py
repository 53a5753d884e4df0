"""Programs that do not fit together are refused, with the place and the reason."""

import dataclasses
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from lbwdet.deploy.runtime import validate
from lbwdet.deploy.runtime.coders import DistanceCoder
from lbwdet.deploy.runtime.declaration import Kind, Range, markers
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.max_pool import MaxPool
from lbwdet.deploy.runtime.operations.ps_roi_align import PSRoIAlign
from lbwdet.deploy.runtime.program import Program
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.shapes import Map, Rows, Side
from lbwdet.deploy.runtime.validate import check_artifact, check_operations, check_weight
from lbwdet.deploy.runtime.weight_entry import WeightEntry
from lbwdet.deploy.testing import random_weight, tiny_artifact, tiny_rfcn_artifact
from lbwdet.errors import ArtifactError

TINY = tiny_artifact(channels=2)
KINDS = [type(operation).__name__ for operation in TINY.program.operations]
POOL, PROPOSALS, SUPPRESS, REGIONS, ALIGN, HEAD, RESULT = (
    KINDS.index(kind)
    for kind in (
        *("MaxPool", "Candidates", "Suppress", "Regions"),
        *("RoIAlign", "RegionCandidates", "Detections"),
    )
)
BY_OUTPUT = {
    operation.written: index
    for index, operation in enumerate(TINY.program.operations[:-1])
    if isinstance(operation, Conv)
}
RESIDUAL, UPSAMPLED, SCORES = BY_OUTPUT["stage2.3"], BY_OUTPUT["lateral4"], BY_OUTPUT["p2.scores"]
FC, CLS = BY_OUTPUT["fc1"], BY_OUTPUT["scores"]


def check(operations=None, quantizations=None, weights=None, classes=TINY.classes):
    """Checks the tiny detector with some parts replaced; None takes an entry out."""
    program = list(TINY.program.operations)
    for index, changes in (operations or {}).items():
        program[index] = dataclasses.replace(program[index], **changes)
    entries = {**TINY.program.quantizations, **(quantizations or {})}
    layers = {**TINY.weights, **(weights or {})}
    check_artifact(
        Program(tuple(program), {name: q for name, q in entries.items() if q is not None}),
        {name: weight for name, weight in layers.items() if weight is not None},
        classes,
    )


def quantization(name="stem", **changes):
    return dataclasses.replace(TINY.program.quantizations[name], **changes)


def weight(name="stage1.1", **changes):
    return dataclasses.replace(TINY.weights[name], **changes)


@pytest.mark.parametrize("code", ["paper", "dense"])
@pytest.mark.parametrize("bit_width", [1, 2, 6, 8])
def test_the_tiny_detector_is_right(code, bit_width):
    for options in ({}, {"granularity": "channel", "class_agnostic": True}):
        artifact = tiny_artifact(0, bit_width, code, channels=2, activation_bits=4, **options)
        check_artifact(artifact.program, artifact.weights, artifact.classes)


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ({1: {"input": "later"}}, "operation 1 .Conv 'stem'.: reads 'later', which no operation"),
        ({1: {"input": "p2"}}, "reads 'p2', which no operation before it"),
        ({1: {"input": "stem"}}, "reads 'stem', which no operation before it"),
        ({1: {"output": "image"}}, "'image' is empty or already taken"),
        ({1: {"output": ""}}, "'' is empty or already taken"),
        ({PROPOSALS: {"output": "p2"}}, "'p2' is empty or already taken"),
        ({1: {"layer": "fc1"}}, "3 channels and the kernel"),
        ({1: {"layer": "none"}}, "the layer has no weight"),
        ({1: {"kernel": (7, 5)}}, r"kernel \(7, 5\) meet a weight"),
        ({1: {"kernel": (0, 7)}}, "kernel is 0; allowed is 1 to 128"),
        ({1: {"stride": (2, 0)}}, "stride is 0; allowed is 1 to 128"),
        ({1: {"padding": (-1, 0)}}, "padding is -1; allowed is 0 to 128"),
        ({1: {"dilation": (1, 200)}}, "dilation is 200; allowed is 1 to 128"),
        ({1: {"dilation": (10, 1)}}, "larger than the map of the smallest image"),
        ({1: {"upsample": True}}, "upsample belongs to a residual"),
        ({RESIDUAL: {"residual": "stage1.3"}}, "residual 'stage1.3' has not the size"),
        ({RESIDUAL: {"residual": "stage2.2"}}, "residual 'stage2.2' has not the size"),
        ({RESIDUAL: {"padding": (0, 1)}}, "has not the size"),
        ({UPSAMPLED: {"upsample": False}}, "residual 'lateral5' has not the size"),
        ({SCORES: {"residual": "lateral2"}}, "a residual needs a uint8 output"),
        ({SCORES + 1: {"input": "p2.scores"}}, "input 'p2.scores' is float32, not uint8"),
        ({POOL: {"padding": (1, 3)}}, "leaves windows of"),
        ({POOL: {"kernel": (99, 99)}}, "larger than the map"),
        ({POOL: {"input": "image"}}, "differ in quantization"),
        ({PROPOSALS: {"strides": (4, 8)}}, "one entry per level"),
        ({PROPOSALS: {"scores": (), "deltas": (), "strides": (), "base_anchors": ()}}, "0 entries"),
        ({PROPOSALS: {"base_anchors": ((),) * 5}}, "0 anchors of 1 classes, 3 scores, 12 deltas"),
        ({PROPOSALS: {"scores": ("p3.scores",) * 5}}, "differ in size"),
        ({PROPOSALS: {"scores": ("p2",) * 5}}, "scores 'p2' is uint8, not float32"),
        ({PROPOSALS: {"pre_nms": 0}}, "pre_nms is 0; allowed is 1"),
        ({SUPPRESS: {"iou_threshold": 1.5}}, "iou_threshold is 1.5; allowed is 0 to 1"),
        ({SUPPRESS: {"input": "p2"}}, "input 'p2' is uint8, not candidates"),
        ({REGIONS: {"input": "p2.scores"}}, "input 'p2.scores' is float32, not candidates"),
        ({ALIGN: {"boxes": "p2"}}, "boxes 'p2' is uint8, not boxes"),
        ({ALIGN: {"boxes": "proposals.kept"}}, "'proposals.kept' is candidates, not boxes"),
        ({ALIGN: {"inputs": ("p2", "p3", "p4", "stem")}}, "inputs of .* channels"),
        ({ALIGN: {"inputs": ("p2", "p3")}}, "one entry per level"),
        ({ALIGN: {"size": 6}}, "larger than the map"),
        ({ALIGN: {"size": 9}}, "not one pixel per box"),
        ({FC: {"padding": (1, 1)}}, "not one pixel per box"),
        ({FC: {"input": "p2"}}, "not one pixel per box"),
        ({HEAD: {"boxes": "rois"}}, "boxes 'rois' is uint8, not boxes"),
        ({HEAD: {"scores": "p2.scores"}}, "'p2.scores' is not one pixel per box"),
        ({HEAD: {"num_classes": 4}}, "expected"),
        ({HEAD: {"class_agnostic": True}}, "4 scores and 12 deltas per box; 4 and 4 are"),
        ({RESULT: {"num_classes": 4}}, "candidates of 3 classes, not 4"),
        ({RESULT: {"input": "proposals"}}, "input 'proposals' is boxes, not candidates"),
        ({RESULT: {"input": "proposals.kept"}}, "candidates of 1 classes, not 3"),
        ({0: {"size_divisor": 1}}, "larger than the map"),
        ({0: {"size": (0, 5)}}, "size is 0; allowed is 1 to 32768"),
        ({0: {"std": (1.0, 0.0, 1.0)}}, "std is 0.0"),
        ({0: {"output": "other"}}, "'other' has no quantization"),
    ],
)
def test_operations_that_do_not_fit_are_refused(operations, message):
    if 0 in operations and "size_divisor" in operations[0]:
        operations = {**operations, 1: {"padding": (0, 0)}}
    with pytest.raises(ArtifactError, match=message):
        check(operations)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": "reduced"}, "input 'reduced' is uint8, not float32"),
        ({"input": "nothing"}, "reads 'nothing', which no operation before it writes"),
        ({"boxes": "stem"}, "boxes 'stem' is uint8, not boxes"),
        ({"output": "stem"}, "'stem' is empty or already taken"),
        ({"size": 5}, "36 channels are not the same number for each of 5x5 cells"),
        ({"size": 6}, "1 scores and 4 deltas per box; 4 and 4 are expected"),
        ({"size": 0}, "size is 0"),
        ({"stride": 0}, "stride is 0"),
        ({"sampling_ratio": 65}, "sampling_ratio is 65"),
    ],
)
def test_votes_that_do_not_fit_are_refused(changes, message):
    artifact = tiny_rfcn_artifact(channels=2)
    operations = list(artifact.program.operations)
    index = next(i for i, op in enumerate(operations) if isinstance(op, PSRoIAlign))
    operations[index] = dataclasses.replace(operations[index], **changes)
    program = dataclasses.replace(artifact.program, operations=tuple(operations))
    with pytest.raises(ArtifactError, match=message):
        check_artifact(program, artifact.weights, artifact.classes)


def test_votes_are_float_and_of_maps_of_the_image():
    artifact = tiny_rfcn_artifact(channels=2)
    program, quantizations = artifact.program, dict(artifact.program.quantizations)
    quantizations["scores"] = Quantization(0.5)
    with pytest.raises(ArtifactError, match="'scores' is float32 and has no quantization"):
        check_artifact(Program(program.operations, quantizations), artifact.weights, ("a",) * 3)
    index = next(i for i, op in enumerate(program.operations) if op.written == "scores")
    scores = program.operations[index]
    again = dataclasses.replace(scores, input="scores", output="votes", size=1)
    operations = (*program.operations[: index + 1], again, *program.operations[index + 1 :])
    with pytest.raises(ArtifactError, match="'scores' is not a map of the image"):
        check_artifact(
            dataclasses.replace(program, operations=operations), artifact.weights, ("a",) * 3
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": "nothing"}, "reads 'nothing', which no operation before it writes"),
        ({"input": "scores"}, "reads 'scores', which"),
        ({"input": "p2.scores"}, "input 'p2.scores' is float32, not uint8"),
        ({"output": "stem"}, "'stem' is empty or already taken"),
        ({"output": "other"}, "'other' has no quantization"),
        ({"input": "p2"}, "7, 7.* meet a weight|not one pixel|kernel"),
    ],
)
def test_requantized_values_that_do_not_fit_are_refused(changes, message):
    artifact = tiny_artifact(channels=2, activation_bits=4)
    operations = list(artifact.program.operations)
    (index,) = (i for i, op in enumerate(operations[:-1]) if op.written == "rois.low")
    operations[index] = dataclasses.replace(operations[index], **changes)
    program = dataclasses.replace(artifact.program, operations=tuple(operations))
    with pytest.raises(ArtifactError, match=message):
        check_artifact(program, artifact.weights, artifact.classes)


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ((), "no operations"),
        (TINY.program.operations * 1000, r"has \d+ operations; at most 16384 are allowed"),
        (TINY.program.operations[1:], "operation 0 .Conv 'stem'.: a program begins with its one"),
        (TINY.program.operations[:-1], "ends with its one Detections"),
        ((*TINY.program.operations[:1], *TINY.program.operations), "operation 1 .*begins with"),
        ((*TINY.program.operations, TINY.program.operations[-1]), "ends with its one"),
    ],
)
def test_a_program_goes_from_image_to_boxes(operations, message):
    with pytest.raises(ArtifactError, match=message):
        check_artifact(Program(operations, TINY.program.quantizations), TINY.weights, TINY.classes)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("stem", {"scale": 0.0}, "quantization of 'stem': scale is 0.0"),
        ("stem", {"scale": -1.0}, "scale is -1.0"),
        ("stem", {"scale": 0.1}, "scale 0.1 is not a float32 number"),
        ("stem", {"zero_point": -1}, "zero_point is -1"),
        ("stem", {"zero_point": 16, "maximum": 15}, "zero_point 16 is above maximum 15"),
        ("stem", {"maximum": 256}, "maximum is 256; allowed is 1 to 255"),
        ("stem", {"scale": 2.0**-100}, "outputs could reach"),
        ("rois", {"scale": 2.0**-100}, "outputs could reach"),
        ("pooled", {"zero_point": 3}, "input and output differ in quantization"),
    ],
)
def test_quantizations_that_do_not_fit_are_refused(name, changes, message):
    with pytest.raises(ArtifactError, match=message):
        check(quantizations={name: quantization(name, **changes)})


def test_what_nothing_uses_is_refused():
    with pytest.raises(ArtifactError, match=r"layers that no operation has: \['extra'\]"):
        check(weights={"extra": weight()})
    with pytest.raises(ArtifactError, match=r"values that are no map: \['extra'\]"):
        check(quantizations={"extra": quantization()})


@pytest.mark.parametrize("classes", [("a",), ("a", "b", "c", "d"), ("a", "b", "b"), ("a", "b", "")])
def test_classes_are_those_of_the_detections(classes):
    with pytest.raises(ArtifactError, match="3 different names are expected"):
        check(classes=classes)


LAYER = TINY.weights["stage1.1"]  # 4 bits dense: codes -7 .. 7
INFINITE, NAN = (np.full(len(LAYER.gain), value, np.float32) for value in (np.inf, np.nan))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gain": INFINITE}, "layer 'x': gain is not finite"),
        ({"bias": NAN}, "bias is not finite"),
        ({"scale": INFINITE}, "scale is not finite"),
        ({"bias": np.zeros(1, np.float32)}, r"bias has the shape \(1,\) instead of"),
        ({"scale": np.ones(9, np.float32)}, r"scale has the shape \(9,\) instead of 1 or"),
        ({"scale": np.full(1, -0.5, np.float32)}, "a scale is negative"),
        ({"scale": np.full(1, 2.0**-127, np.float32)}, "an exponent not in -126"),
        ({"scale": np.zeros(1, np.float32)}, "an exponent not in -126"),
        ({"code": "sparse"}, "code 'sparse' is not one of paper, dense, two-term, uniform"),
        ({"num_magnitudes": 8}, "4 bits with 8 magnitudes; allowed are 1 to 7"),
        ({"num_magnitudes": 0}, "allowed are 1 to 7 magnitudes"),
        ({"bit_width": 9}, "in 1 to 8 bits"),
        ({"code": "uniform"}, "uniform code of 4 bits"),
        ({"code": "two-term", "num_magnitudes": 6}, "two-term code of 4 bits with 6 magnitudes"),
        ({"code": "two-term", "bit_width": 3}, "two-term code of 3 bits"),
        ({"codes": np.full_like(LAYER.codes, 8)}, r"codes 8..8; allowed is -7..7"),
        ({"codes": np.full_like(LAYER.codes, -128)}, r"codes -128..-128"),
    ],
)
def test_weights_out_of_range_are_refused(changes, message):
    with pytest.raises(ArtifactError, match=message):
        check_weight("x", dataclasses.replace(LAYER, **changes))


def test_uniform_codes_go_to_64():
    codes = np.full((1, 1, 1, 1), 64, np.int8)
    one = np.ones(1, np.float32)
    uniform = dataclasses.replace(
        LAYER, codes=codes, scale=one, code="uniform", bit_width=8, num_magnitudes=0, gain=one,
        bias=one,
    )  # fmt: skip
    check_weight("x", uniform)
    with pytest.raises(ArtifactError, match=r"codes 65..65; allowed is -64..64"):
        check_weight("x", dataclasses.replace(uniform, codes=codes + np.int8(1)))


def test_an_accumulator_that_could_overflow_is_refused():
    """131,586 inputs of 255 * 64 still fit int32, one more does not."""
    limit = ((1 << 31) - 1) // (255 * 64)
    layer = random_weight(np.random.default_rng(0), (1, limit + 1, 1, 1), 4)
    check_weight("big", layer)  # the weights that are there do fit
    layer = dataclasses.replace(layer, codes=np.full((2, limit + 1, 1, 1), 7, np.int8))
    layer = dataclasses.replace(layer, gain=np.ones(2, np.float32), bias=np.ones(2, np.float32))
    bound = 255 * 64 * (limit + 1)
    with pytest.raises(ArtifactError, match=f"layer 'big': its int32 accumulator.*{bound}.*split"):
        check_weight("big", layer)
    check_weight("big", dataclasses.replace(layer, codes=layer.codes[:, :limit]))


def test_what_engines_would_make_of_the_weights_is_limited(monkeypatch):
    """Operation by operation: a layer that two of them use counts twice."""
    packed = [operation.packed_bytes(TINY.weights) for operation in TINY.program.operations]
    monkeypatch.setattr(validate, "MAX_PACKED", sum(packed) + max(packed))
    check()
    monkeypatch.setattr(validate, "MAX_PACKED", sum(packed) + max(packed) - 1)
    with pytest.raises(
        ArtifactError, match=r"an engine could take \d+ bytes .*; most by operation \d+ \(Conv '"
    ):
        check()


def test_checking_takes_a_few_bytes_per_code():
    """Whatever is found: a file of 2**28 codes takes a gigabyte at most, not eight."""
    count = 1 << 22
    layer = random_weight(np.random.default_rng(0), (2, 4, 1, 1), 4)
    layer = dataclasses.replace(layer, codes=np.full((2, count // 2, 1, 1), 7, np.int8))
    tracemalloc.start()
    with pytest.raises(ArtifactError, match="accumulator could reach"):
        check_weight("big", layer)
    assert tracemalloc.get_traced_memory()[1] < 4 * count
    tracemalloc.stop()


def numbers(value, name=""):
    """Every number in a dataclass, and the markers of the field that holds it."""
    for field in dataclasses.fields(value):
        entry, found = getattr(value, field.name), markers(type(value))[field.name]
        if dataclasses.is_dataclass(entry):
            yield from numbers(entry, f"{type(value).__name__}.")
        while isinstance(entry, tuple) and entry:
            entry = entry[0]
        if isinstance(entry, int | float) and not isinstance(entry, bool):
            yield f"{name}{type(value).__name__}.{field.name}", found


def test_every_number_has_a_range():
    distances = dataclasses.replace(TINY.program.operations[PROPOSALS], coder=DistanceCoder())
    entry = WeightEntry((1, 1, 1, 1), "dense", 4, 7, "bitpack")
    found = [
        pair
        for value in (*TINY.program.operations, distances, quantization(), entry)
        for pair in numbers(value)
    ]
    assert len({name for name, _ in found}) > 35
    for name, marks in found:
        assert any(isinstance(mark, Range) for mark in marks), name


def test_values_that_are_given():
    """One operation by itself, or a part of a program."""
    pool = TINY.program.operations[POOL]
    given = {"stem": Map(2, Side(8), Side(8), quantization=quantization("stem"))}
    found = check_operations([pool], TINY.program.quantizations, {}, given)
    assert set(found) == {"stem", "pooled"}
    assert found["pooled"] == Map(2, Side(4), Side(4), quantization=quantization("pooled"))
    with pytest.raises(ArtifactError, match="'stem', which no operation before it writes"):
        check_operations([pool], TINY.program.quantizations, {})


def test_what_is_found_of_every_value():
    found = check_artifact(TINY.program, TINY.weights, TINY.classes)
    assert list(found) == [operation.written for operation in TINY.program.operations[:-1]]
    assert found["image"] == Map(3, Side(32), Side(32), quantization=quantization("image"))
    assert found["p2.scores"] == Map(3, Side(8), Side(8))
    assert found["proposals"] == Rows(Kind.BOXES, origin="proposals.kept")
    assert found["rois"].rows == found["scores"].rows == "proposals.kept"
    assert found["detections.kept"] == Rows(Kind.CANDIDATES, 3)


def test_sides_whose_numbers_grow_and_grow_are_refused():
    """Windows as wide as their stride, with padding: a map of one pixel stays one."""
    names, one = [f"x{index}" for index in range(20)], Quantization(1.0)
    pools = [MaxPool(a, b, (128, 128), (128, 128), (127, 127)) for a, b in pairwise(names)]
    given = {names[0]: Map(3, Side(32), Side(32), "", one)}
    quantizations = dict.fromkeys(names, one)
    check_operations(pools[:8], quantizations, {}, given)
    with pytest.raises(ArtifactError, match=r"^operation 9 \(MaxPool\): 64 bits do not hold how"):
        check_operations(pools, quantizations, {}, given)
