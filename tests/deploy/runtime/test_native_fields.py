"""The native library checks what it is told, whoever tells it."""

from dataclasses import replace

import numpy as np
import pytest

from lbwdet.deploy.runtime import native
from lbwdet.deploy.runtime.native import NativeEngine, NativeError
from lbwdet.deploy.runtime.native_library import Field, FieldKind, library_path
from lbwdet.deploy.runtime.native_program import Fields, field
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.lookup import Lookup
from lbwdet.deploy.runtime.operations.max_pool import MaxPool
from lbwdet.deploy.runtime.operations.preprocess import Preprocess
from lbwdet.deploy.runtime.operations.ps_roi_align import PSRoIAlign
from lbwdet.deploy.runtime.operations.regions import Regions
from lbwdet.deploy.runtime.operations.roi_align import RoIAlign
from lbwdet.deploy.runtime.operations.suppress import Suppress
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine
from lbwdet.deploy.testing import random_image, tiny_artifact, tiny_rfcn_artifact
from tests.deploy.runtime.native_cases import SIZES, names_of

pytestmark = pytest.mark.skipif(library_path() is None, reason="the native engine is not built")


@pytest.fixture
def told(monkeypatch):
    """Makes engines tell the library other fields of one kind of operation than there are.

    Of a name: a number or an array, None to leave it out, or a ``Field`` as it is.
    """

    def tell(kind, **changes):
        class Told(Fields):
            def __init__(self, operation, context, values):
                super().__init__(operation, context, values)
                if not isinstance(operation, kind):
                    return
                self._fields = list(self._fields)
                for name, value in changes.items():
                    name = name.replace("__", ".")
                    (at,) = (
                        i for i, entry in enumerate(self._fields) if entry.name.decode() == name
                    )
                    if value is None:
                        del self._fields[at]
                    elif isinstance(value, Field):
                        self._fields[at] = value
                    else:
                        kind_of_field = FieldKind(self._fields[at].kind)
                        is_value = kind_of_field is FieldKind.VALUE
                        given = np.array(value, np.int32) if is_value else value
                        self._fields[at] = field(name, given, kind_of_field if is_value else None)
                self.array = (Field * len(self._fields))(*self._fields)

        monkeypatch.setattr(native, "Fields", Told)

    return tell


NOTHING_THERE = Field(b"input", FieldKind.VALUE, 1, None)
LESS_THAN_NOTHING = Field(b"stride", FieldKind.INT32, -2, NOTHING_THERE.data)
NAMELESS = Field(None, FieldKind.INT32, 0, None)
FLOATS = np.ones(2, np.float32)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("input", [99], "the field 'input' names a value that does not exist"),
        ("input", [-2], "the field 'input' names a value that does not exist"),
        ("input", [1 << 30], "the field 'input' names a value that does not exist"),
        ("input", [1], "a value is read before it is written"),
        ("input", [0, 0], "the field 'input' has 2 entries; it takes 1"),
        ("input", [], "the field 'input' has 0 entries; it takes 1"),
        ("input", None, "the field 'input' is missing"),
        ("input", field("input", 0), "the field 'input' does not hold values"),
        ("input", NOTHING_THERE, "the field 'input' has no data"),
        ("input", NAMELESS, "the field 'input' is missing"),
        ("output", [0], "written twice"),
        ("stride", (0, 1), "stride"),
        ("stride", (-1, 1), "stride"),
        ("stride", (2,), "the field 'stride' has 1 entries; it takes 2"),
        ("stride", FLOATS, "the field 'stride' does not hold integers"),
        ("stride", LESS_THAN_NOTHING, "the field 'stride' has no data"),
        ("kernel", (1 << 20, 1), "'integers' has another size than channels and kernel say"),
        ("padding", (-1, 0), "padding"),
        ("padding", (1 << 30, 1 << 30), ""),
        ("dilation", (0, 1), "dilation"),
        ("in_channels", 0, "channels must be positive"),
        ("in_channels", 1 << 30, "the weight is too large"),
        ("integers", np.ones(5, np.int8), "'integers' has another size"),
        ("integers", FLOATS, "'integers' does not hold integers of 8 bits"),
        ("integers", None, "'integers' is missing"),
        ("multiplier", FLOATS, r"'multiplier' has 2 entries; it takes \d"),
        ("offset", FLOATS, r"'offset' has 2 entries; it takes \d"),
        ("relu", "yes", "'relu' does not hold integers"),
    ],
)
def test_the_library_checks_what_it_is_told(name, value, message, told):
    """No description can make it crash, even one that no valid program has."""
    told(Conv, **{name: value})
    with pytest.raises(NativeError, match=f"^Conv stem: .*{message}"):
        NativeEngine(tiny_artifact()).detect(random_image(0, 40, 40))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(levels=np.zeros(255, np.int8)), "levels are tables of 256"),
        (dict(levels=np.full(256, 65, np.int8)), "a weight is beyond 64"),
        (dict(levels_of=np.zeros(1, np.int32)), "one of them for each channel"),
        (dict(levels_of=np.full(8, -1, np.int32)), "one of them for each channel"),
        (dict(levels_of=np.zeros(0, np.int32)), "one of them for each channel"),
        (dict(levels_of=np.zeros(8, np.float32)), "'levels_of' does not hold integers"),
    ],
)
def test_the_library_checks_what_codes_stand_for(changes, message, monkeypatch):
    constants = Conv.constants

    def others(self, context):
        found = constants(self, context)
        return {**found, **changes} if "levels" in found else found

    monkeypatch.setattr(Conv, "constants", others)
    with pytest.raises(NativeError, match=f"^Conv .*: .*{message}"):
        NativeEngine(tiny_artifact())


def test_the_library_knows_floats_from_integers(told):
    names = names_of(tiny_artifact())
    told(MaxPool, input=[names.index("p2.scores")])
    with pytest.raises(
        NativeError, match=r"^MaxPool pooled: .*'input' names a float map; it takes"
    ):
        NativeEngine(tiny_artifact())
    told(Candidates, scores=[0] * 5)
    with pytest.raises(NativeError, match=r"^Candidates .*'scores' names a uint8 map; it takes a"):
        NativeEngine(tiny_artifact())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(input=[99]), "names a value that does not exist"),
        (dict(table=np.full(256, 16, np.uint8)), "the table goes beyond the output's maximum"),
        (dict(table=np.zeros(255, np.uint8)), "the field 'table' has 255 entries; it takes 256"),
    ],
)
def test_the_library_checks_tables(changes, message, told):
    told(Lookup, **changes)
    with pytest.raises(NativeError, match=f"^Lookup pooled.low: .*{message}"):
        NativeEngine(tiny_artifact(activation_bits=4))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(strides=(4, 8)), "every level needs a stride, anchors, scores, and deltas"),
        (dict(strides=()), "every level needs a stride"),
        (dict(deltas=[0]), "'deltas' names a uint8 map"),
        (dict(anchors_per_level=np.array([3, 3, 3, 3, 4])), "base_anchors are not those of"),
        (dict(anchors_per_level=np.array([3, 3, 3, 3, -1])), "base_anchors are not those of"),
        (dict(anchors_per_level=np.array([3, 3, 3, 3, 1 << 30])), "base_anchors are not those of"),
        (dict(base_anchors=np.zeros(7, np.float32)), "base_anchors are not those of"),
        (dict(num_classes=0), "num_classes and pre_nms must be positive"),
        (dict(pre_nms=-1), "num_classes and pre_nms must be positive"),
        (dict(num_classes=2), ""),
        (dict(activation="tanh"), "this build has no scores by tanh"),
        (dict(coder="PolarCoder"), "this build has no coder PolarCoder"),
        (dict(coder__max_log_ratio=-1.0), "coder.max_log_ratio is negative"),
        (dict(root=1), "root, but not of products of an activation and a sigmoid"),
        (dict(best_class=1, whole_anchors=1), "best_class of whole_anchors"),
        (dict(coder__stds=(1.0, 1.0)), "'coder.stds' has 2 entries; it takes 4"),
    ],
)
def test_the_library_checks_dense_heads(changes, message, told):
    told(Candidates, **changes)
    with pytest.raises(NativeError, match=f"^Candidates proposals.candidates: .*{message}"):
        NativeEngine(tiny_artifact()).detect(random_image(0, 40, 40))


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (Suppress, dict(group="colour"), "this build has no groups by colour"),
        (Suppress, dict(max_boxes=0), "max_boxes must be positive"),
        (RoIAlign, dict(size=0), "size must be positive"),
        (RoIAlign, dict(size=1 << 30), ""),
        (RoIAlign, dict(inputs=[]), ""),
        (RoIAlign, dict(ratios=(0.5,)), "ratios"),
        (RoIAlign, dict(boxes=[0]), "'boxes' names a uint8 map"),
        (MaxPool, dict(stride=(0, 1)), "stride must be positive"),
        (MaxPool, dict(padding=(3, 1)), "padding must be 0 to kernel - 1"),
        (MaxPool, dict(kernel=(0, 3)), ""),
        (Preprocess, dict(size=(0, 5)), "size must be positive"),
        (Preprocess, dict(size_divisor=0), "size_divisor must be positive"),
        (Preprocess, dict(pad_divisor=0), "pad_divisor and least_multiple must be positive"),
        (MaxPool, dict(ceil=True, stride=(3, 3)), "kernels must be at least stride and padding"),
        (Preprocess, dict(table=np.zeros(3, np.uint8)), "'table' has 3 entries; it takes 768"),
        (Preprocess, dict(fill=np.zeros(3, np.uint8)), "'fill' has 3 entries; it takes 6"),
        (Preprocess, dict(pad_size=(1,)), "pad_size is width, height"),
    ],
)
def test_the_library_checks_other_operations(kind, changes, message, told):
    told(kind, **changes)
    with pytest.raises(NativeError, match=f"^{kind.__name__} .*{message}"):
        NativeEngine(tiny_artifact()).detect(random_image(0, 40, 40))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("input", [99], "names a value that does not exist"),
        ("input", [0], "'input' names a uint8 map; it takes a float one"),
        ("size", 0, "size must be positive"),
        ("size", 2, r"RegionCandidates .*scores of \d+ x 1 x 1 x 9, deltas of"),
        ("size", 5, "a map of .* for 25 cells"),
        ("sampling_ratio", 1 << 30, "more than the limit of"),
    ],
)
def test_the_library_checks_votes(name, value, message, told):
    told(PSRoIAlign, **{name: value})
    with pytest.raises(NativeError, match=message):
        NativeEngine(tiny_rfcn_artifact(), work_limit=1 << 32).detect(random_image(0, 40, 40))


def test_the_library_ignores_fields_that_it_does_not_know(monkeypatch, expected):
    class More(Fields):
        def __init__(self, operation, context, values):
            super().__init__(operation, context, values)
            self._fields = [field("unheard_of", 3), *self._fields]
            self.array = (Field * len(self._fields))(*self._fields)

    monkeypatch.setattr(native, "Fields", More)
    artifact, image, _, found = expected("4bit", SIZES[0])
    with NativeEngine(artifact) as engine:
        assert np.array_equal(engine.detect(image)[0], found[0])


def test_an_operation_that_this_build_lacks(monkeypatch):
    """Whose Python file was added, and whose C++ file was not."""
    monkeypatch.setattr(Operation, "registry", dict(Operation.registry))

    class Blur(Regions):
        pass

    artifact = tiny_artifact()
    operations = tuple(
        Blur(operation.input, operation.output) if isinstance(operation, Regions) else operation
        for operation in artifact.program.operations
    )
    artifact = replace(artifact, program=replace(artifact.program, operations=operations))
    assert len(ReferenceEngine(artifact).detect(random_image(0, 40, 40))[0]) > 0
    with pytest.raises(NativeError, match=r"^Blur proposals: this build has no operation Blur"):
        NativeEngine(artifact)
