from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbwdet.deploy.runtime.alone import check_alone
from lbwdet.deploy.runtime.declaration import Kind
from lbwdet.deploy.runtime.operations.add import Add
from lbwdet.deploy.runtime.operations.affine import Affine
from lbwdet.deploy.runtime.operations.average_pool import AveragePool
from lbwdet.deploy.runtime.operations.concat import Concat
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.roi_align import RoIAlign
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.shapes import ONE, Map, Rows, Shapes, Side
from lbwdet.errors import ArtifactError

WINDOWS = st.lists(
    st.tuples(st.integers(1, 7), st.integers(1, 4), st.integers(0, 6)), max_size=5
)  # extent, stride, padding


def sides(divisor, windows):
    """The exact side for each of many images, by stepping through the windows."""
    result = [divisor * m for m in range(60, 200)]
    for extent, stride, padding in windows:
        result = [(side + 2 * padding - extent) // stride + 1 for side in result]
    return result


@given(st.integers(1, 32), WINDOWS, WINDOWS)
def test_sides_are_equal_if_and_only_if_they_are_for_every_image(divisor, first, second):
    """60 and more, where no window is larger than its map; 140 are more than any period here."""
    symbolic = []
    for windows in (first, second):
        side = Side(divisor)
        for window in windows:
            side = side.window(*window)
        symbolic.append(side)
        evaluated = [(side.factor * m + side.offset) // side.divisor for m in range(60, 200)]
        assert evaluated == sides(divisor, windows)
    a, b = symbolic
    if max(a.divisor, b.divisor) <= 140:
        assert (a == b) == (sides(divisor, first) == sides(divisor, second))


@given(st.integers(1, 32), WINDOWS, st.integers(1, 5))
def test_repeated_sides(divisor, windows, factor):
    side = Side(divisor)
    for window in windows:
        side = side.window(*window)
    if side.divisor != 1:
        with pytest.raises(ArtifactError, match="rounded down"):
            side.times(factor)
        return
    repeated = side.times(factor)
    evaluated = [
        (repeated.factor * m + repeated.offset) // repeated.divisor for m in range(60, 200)
    ]
    assert evaluated == [factor * side for side in sides(divisor, windows)]


def test_the_smallest_side():
    assert Side(32).window(7, 2, 3).smallest == 16
    assert ONE.smallest == ONE.window(1, 1, 0).smallest == 1
    assert ONE.window(3, 1, 0).smallest < 1


def test_kinds():
    whole = Map(3, Side(32), Side(32))
    assert whole.kind is Kind.FLOAT and whole.size == (Side(32), Side(32))
    assert Map(3, ONE, ONE, "boxes", Quantization(1.0)).kind is Kind.UINT8
    assert Rows(Kind.BOXES).columns == 4 and Rows(Kind.CANDIDATES).columns == 7


class TestShapes:
    @pytest.fixture
    def shapes(self):
        found = Shapes({"x": Quantization(0.5)}, {})
        found.values.update(
            x=Map(3, Side(8), Side(8), quantization=Quantization(0.5)),
            rois=Map(3, Side(0, 7), Side(0, 7), rows="boxes"),
            found=Rows(Kind.CANDIDATES, 4),
        )
        found.place = "operation 3 (Blur)"
        return found

    def test_values(self, shapes):
        assert shapes.map("x").channels == shapes.image_map("x").channels == 3
        assert shapes.quantized("x").scale == 0.5
        assert shapes.candidates("found").classes == 4

    def test_a_problem_has_its_place(self, shapes):
        shapes.expect(True, "all is well")
        with pytest.raises(ArtifactError, match=r"^operation 3 \(Blur\): too blurred$"):
            shapes.expect(False, "too blurred")

    def test_maps_of_boxes_are_not_of_the_image(self, shapes):
        assert shapes.map("rois").rows == "boxes"
        with pytest.raises(ArtifactError, match="'rois' is not a map of the image"):
            shapes.image_map("rois")

    def test_windows(self, shapes):
        found = shapes.windowed(shapes.map("x"), ((3, 2, 1), (1, 1, 0)))
        assert found == Map(3, Side(4), Side(8))
        with pytest.raises(ArtifactError, match="window is larger than the map of the smallest"):
            shapes.windowed(shapes.map("x"), ((1, 1, 0), (9, 1, 0)))

    def test_one_entry_per_level(self, shapes):
        shapes.per_level((1, 2), ("a", "b"))
        for sequences in (((1, 2), ("a",)), ((), ())):
            with pytest.raises(ArtifactError, match=r"one entry per level.*given are \["):
                shapes.per_level(*sequences)


@pytest.mark.parametrize("kind", [Add, Affine, AveragePool, Concat, Conv, RoIAlign])
def test_outputs_that_float32_may_not_hold_are_refused(kind):
    """Whatever rounds to a scale of its own; a product of zero and infinity would be no number."""
    examples = (kind.example(np.random.default_rng(seed)) for seed in range(100))
    example = next(case for case in examples if case.operation.written in case.quantizations)
    check_alone(example)
    written = example.operation.written
    tiny = replace(example.quantizations[written], scale=2.0**-120)
    quantizations = {**example.quantizations, written: tiny}
    with pytest.raises(
        ArtifactError, match=r"outputs could reach \d\.\d+e\+\d+, at most 1\.21e\+24"
    ):
        check_alone(replace(example, quantizations=quantizations))


def test_versions_of_the_same_rows():
    shapes = Shapes({}, {})
    shapes.values["kept"] = Rows(Kind.CANDIDATES, 3)
    shapes.values["boxes"] = Rows(Kind.BOXES, origin="kept")
    shapes.values["moved"] = Rows(Kind.BOXES, origin=shapes.origin("boxes"))
    assert {shapes.origin(name) for name in ("kept", "boxes", "moved")} == {"kept"}
    shapes.values["x"] = Map(5, ONE, ONE, rows="boxes")
    assert shapes.map_of_rows("x", "moved").channels == 5
    shapes.values["other"] = Rows(Kind.BOXES)
    with pytest.raises(ArtifactError, match="'x' is not one pixel per box of 'other'"):
        shapes.map_of_rows("x", "other")
