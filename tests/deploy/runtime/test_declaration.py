from dataclasses import dataclass
from typing import Literal

import pytest

from lbwdet.deploy.runtime.declaration import (
    Annotated,
    Kind,
    Layer,
    Length,
    Range,
    Reads,
    Writes,
    check_ranges,
    markers,
    roles,
)
from lbwdet.errors import ArtifactError


@dataclass(frozen=True)
class Part:
    weight: Annotated[float, Range(0, 1)]


@dataclass(frozen=True)
class Other:
    count: Annotated[int, Range(1, 3)]


@dataclass(frozen=True)
class Everything:
    layer: Annotated[str, Layer()] = "layer"
    many: Annotated[tuple[str, ...], Reads(Kind.UINT8), Length(1, 2)] = ("a", "b")
    like: Annotated[str, Reads(Kind.MAP)] | None = None
    output: Annotated[str, Writes(Kind.UINT8, quantized_like="like")] = "y"
    number: Annotated[int, Range(1, 8)] = 3
    pair: Annotated[tuple[float, float], Range(-1, 1)] = (0.5, -0.5)
    nested: Annotated[tuple[tuple[float, ...], ...], Range(0, 9)] = ((1.0,), ())
    maybe: Annotated[float, Range(0, 1)] | None = None
    part: Part = Part(0.5)
    either: Part | Other = Part(0.5)
    parts: tuple[Part, ...] = ()
    flag: bool = False
    choice: Literal["a", "b"] = "a"


def test_names_by_their_roles():
    found = [(field, type(role).__name__, names) for field, role, names in roles(Everything())]
    assert found == [
        ("layer", "Layer", ("layer",)),
        ("many", "Reads", ("a", "b")),
        ("like", "Reads", ()),
        ("output", "Writes", ("y",)),
    ]
    by_field = {field: (role, names) for field, role, names in roles(Everything(like="x"))}
    assert by_field["like"] == (Reads(Kind.MAP), ("x",))
    assert by_field["output"][0].quantized_like == "like"


def test_markers_of_an_annotation_and_of_its_parts():
    assert markers(Everything)["many"] == (Reads(Kind.UINT8), Length(1, 2))
    assert markers(Everything)["maybe"] == (Range(0, 1),)
    assert markers(Everything)["flag"] == markers(Everything)["choice"] == ()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        dict(number=1),
        dict(number=8),
        dict(pair=(-1.0, 1.0)),
        dict(nested=()),
        dict(maybe=1.0),
        dict(maybe=2.0**-149),
        dict(many=("a",)),
        dict(either=Other(3)),
        dict(parts=(Part(0.0), Part(1.0))),
    ],
)
def test_what_is_in_range(changes):
    check_ranges(Everything(**changes), "here")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(number=0), "here: number is 0; allowed is 1 to 8"),
        (dict(number=9), "here: number is 9; allowed is 1 to 8"),
        (dict(number=float("nan")), "here: number is nan; allowed"),
        (dict(pair=(0.0, 1.5)), "here: pair is 1.5; allowed is -1 to 1"),
        (dict(nested=((1.0,), (2.0, -3.0))), "here: nested is -3.0; allowed is 0 to 9"),
        (dict(maybe=2.0), "here: maybe is 2.0; allowed is 0 to 1"),
        (dict(maybe=1e-46), "here: maybe is 1e-46, which is 0 in float32"),
        (dict(part=Part(1e-46)), "here: part: weight is 1e-46, which is 0 in float32"),
        (dict(many=()), "here: many has 0 entries; allowed are 1 to 2"),
        (dict(many=("a",) * 3), "here: many has 3 entries; allowed are 1 to 2"),
        (dict(part=Part(2.0)), "here: part: weight is 2.0; allowed is 0 to 1"),
        (dict(either=Other(4)), "here: either: count is 4; allowed is 1 to 3"),
        (dict(parts=(Part(0.0), Part(7.0))), "here: parts: weight is 7.0"),
    ],
)
def test_what_is_not(changes, message):
    with pytest.raises(ArtifactError, match=f"^{message}"):
        check_ranges(Everything(**changes), "here")


def test_a_map_is_of_integers_or_of_floats():
    assert Kind.UINT8 & Kind.MAP and Kind.FLOAT & Kind.MAP
    assert not (Kind.BOXES | Kind.CANDIDATES) & Kind.MAP
