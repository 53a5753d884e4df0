"""Dataclasses as JSON: exactly back, and nothing else accepted."""

import json
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from lbwdet.deploy.runtime.fields import from_json, to_json
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.operations.max_pool import MaxPool
from lbwdet.deploy.runtime.program import Program
from lbwdet.deploy.testing import tiny_artifact
from lbwdet.errors import ArtifactError


@dataclass(frozen=True)
class Everything:
    flag: bool
    count: int
    factor: float
    name: str
    choice: Literal["a", "b"]
    pair: tuple[int, float]
    many: tuple[tuple[int, ...], ...]
    table: dict[str, int]
    maybe: str | None
    free: Any
    operation: Operation


POOL = MaxPool("x", "y", (2, 2), (2, 2))
VALUE = Everything(
    True, 3, 0.1, "ü", "b", (1, 2.0), ((1,), ()), {"k": 1}, None, [1, {"x": 2.5}], POOL
)


def text_and_back(value, kind):
    return from_json(kind, json.loads(json.dumps(to_json(value, kind))), "value")


def test_everything_comes_back():
    assert text_and_back(VALUE, Everything) == VALUE
    program = tiny_artifact().program
    assert text_and_back(program, Program) == program


def test_an_operation_says_its_type_first():
    fields = to_json(POOL, Operation)
    assert list(fields) == ["type", "input", "output", "kernel", "stride"]
    assert fields["type"] == "MaxPool" and fields["kernel"] == [2, 2]
    assert "type" not in to_json(POOL, MaxPool)


def test_an_integer_may_stand_for_a_float():
    fields = to_json(VALUE, Everything)
    fields["factor"] = 2
    factor = from_json(Everything, fields, "value").factor
    assert factor == 2.0 and isinstance(factor, float)


@pytest.mark.parametrize(
    ("field", "wrong", "message"),
    [
        ("flag", 1, "value.flag is 1 instead of true or false"),
        ("count", True, "value.count is True instead of an integer"),
        ("count", 1.0, "value.count is 1.0 instead of an integer"),
        ("count", 1 << 31, "instead of an integer of at most 2147483647"),
        ("factor", "1", "value.factor is '1' instead of a finite number"),
        ("factor", float("inf"), "instead of a finite number"),
        ("factor", 10**400, "instead of a finite number"),
        ("name", None, "value.name is None instead of a text"),
        ("choice", "c", "value.choice is 'c' instead of 'a' or 'b'"),
        ("choice", [], "instead of 'a' or 'b'"),
        ("pair", [1], r"value.pair is \[1\] instead of a list of 2"),
        ("pair", [1, 2, 3], "instead of a list of 2"),
        ("pair", {"0": 1}, "instead of a list"),
        ("many", [[1], [2.5]], r"value.many\[1\]\[0\] is 2.5 instead of an integer"),
        ("table", {"k": "v"}, r"value.table\['k'\] is 'v' instead of an integer"),
        ("table", [], "instead of an object"),
        ("maybe", 0, "value.maybe is 0 instead of a text"),
        ("operation", {"type": "Exec"}, "operation: type is 'Exec' instead of AdaptiveMaxPool, "),
        ("operation", {"type": ["MaxPool"]}, "type is"),
        ("operation", {}, "type is None instead of"),
        ("operation", {"type": "MaxPool"}, r"\(MaxPool\): the fields are not those of MaxPool"),
        ("operation", [], "instead of an object"),
    ],
)
def test_another_type_is_refused(field, wrong, message):
    fields = to_json(VALUE, Everything)
    fields[field] = wrong
    with pytest.raises(ArtifactError, match=message):
        from_json(Everything, fields, "value")


def test_fields_must_be_all_and_only_those():
    fields = to_json(VALUE, Everything)
    del fields["pair"]
    with pytest.raises(ArtifactError, match=r"missing \['pair'\], unknown \[\]"):
        from_json(Everything, fields, "value")
    with pytest.raises(ArtifactError, match=r"missing \[\], unknown \['more'\]"):
        from_json(Everything, {**to_json(VALUE, Everything), "more": 1}, "value")


def test_a_long_wrong_value_is_cut_in_the_message():
    fields = to_json(VALUE, Everything)
    fields["count"] = [[["deep"] * 1000] * 1000] * 1000
    with pytest.raises(ArtifactError) as caught:
        from_json(Everything, fields, "value")
    assert len(str(caught.value)) < 400
