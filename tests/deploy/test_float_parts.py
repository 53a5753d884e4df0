"""Which operations of a program compute in float32, and their share of the time."""

import inspect
import re
from dataclasses import replace

import pytest

from lbwdet.deploy.float_parts import float_parts, measure
from lbwdet.deploy.runtime import native
from lbwdet.deploy.runtime.native import Cost, NativeError
from lbwdet.deploy.runtime.operations import every_operation
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.deploy.runtime.operations.lookup import Lookup
from lbwdet.deploy.testing import tiny_artifact, tiny_rfcn_artifact


def test_shares_of_the_time():
    program = tiny_artifact(channels=2).program
    costs = [Cost(type(op).__name__, op.written, 10, 0) for op in program.operations]
    parts = float_parts(program, costs)
    assert {part.share for part in parts} == {1 / len(program.operations)}
    assert [part.share for part in float_parts(program, None)] == [None] * len(parts)


def test_each_says_what_its_class_declares():
    parts = float_parts(tiny_rfcn_artifact(channels=2).program, None)
    assert {part.operation: part.computes for part in parts} == {
        "Candidates": "scores and boxes",
        "Suppress": "overlaps of boxes",
        "PSRoIAlign": "bilinear sampling and votes",
        "RegionCandidates": "scores and boxes",
        "Rescale": "boxes",
    }


@pytest.mark.parametrize("kind", sorted(every_operation().values(), key=lambda k: k.__name__))
def test_roots_and_powers_are_declared(kind):
    """A table is not: it is computed once."""
    calls = re.search(
        r"\b(exp|sqrt|sigmoid|softmax|attend|decode)\(", inspect.getsource(kind.compute)
    )
    assert calls is None or kind.float32 or kind is Lookup


def test_masks_are_a_part_where_there_are_any():
    boxes = Detections("candidates", num_classes=2)
    assert boxes.in_float32() == ""
    assert "masks" in replace(boxes, masks="masks").in_float32()


def test_every_operation_is_measured():
    artifact = tiny_artifact(channels=2)
    costs, measured = measure(artifact)
    assert [cost.name for cost in costs] == [op.written for op in artifact.program.operations]
    assert measured.startswith("an image of noise, 128x96, ")


def test_without_the_native_engine(monkeypatch):
    def none(*_):
        raise NativeError("there is none")

    monkeypatch.setattr(native.native_library, "load", none)
    assert measure(tiny_artifact(channels=2)) == (None, "not measured: there is none")
