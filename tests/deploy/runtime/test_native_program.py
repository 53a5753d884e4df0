"""The numbers that the native engine is given are those of the operations' definition."""

import ctypes
import gc
import math
from dataclasses import replace

import numpy as np
import pytest

from lbwdet.deploy.runtime.context import Context, LayerNumbers
from lbwdet.deploy.runtime.native_library import FieldKind
from lbwdet.deploy.runtime.native_program import Fields, field, native_values
from lbwdet.deploy.runtime.operations.affine import Affine
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.deploy.runtime.operations.lookup import Lookup
from lbwdet.deploy.runtime.operations.max_pool import MaxPool
from lbwdet.deploy.runtime.operations.preprocess import Preprocess
from lbwdet.deploy.runtime.operations.ps_roi_align import PSRoIAlign
from lbwdet.deploy.runtime.operations.region_candidates import RegionCandidates
from lbwdet.deploy.runtime.operations.roi_align import RoIAlign
from lbwdet.deploy.runtime.operations.suppress import Suppress
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.testing import tiny_artifact, tiny_rfcn_artifact

ARTIFACT = tiny_artifact(granularity="channel", activation_bits=4)
OPERATIONS = ARTIFACT.program.operations
QUANTIZATIONS = ARTIFACT.program.quantizations
TYPES = {
    FieldKind.INT32: np.int32,
    FieldKind.FLOAT32: np.float32,
    FieldKind.INT8: np.int8,
    FieldKind.UINT8: np.uint8,
    FieldKind.TEXT: np.uint8,
    FieldKind.VALUE: np.int32,
}


def read(entry):
    """What the library finds at a field's address: numbers, or a text."""
    kind = FieldKind(entry.kind)
    size = entry.count * np.dtype(TYPES[kind]).itemsize
    content = ctypes.string_at(entry.data, size) if size else b""
    return content.decode() if kind is FieldKind.TEXT else np.frombuffer(content, TYPES[kind])


def contents(fields):
    found = {entry.name.decode(): (FieldKind(entry.kind), read(entry)) for entry in fields.array}
    assert len(found) == len(fields)
    return found


def context_of(artifact):
    layers = {name: LayerNumbers.integer(weight) for name, weight in artifact.weights.items()}
    return Context(artifact.program.quantizations, layers)


def described(kind, artifact=ARTIFACT):
    """Operations of a kind, and their fields by name."""
    values = native_values(artifact.program)
    for operation in artifact.program.operations:
        if isinstance(operation, kind):
            yield operation, contents(Fields(operation, context_of(artifact), values))


def test_values():
    values = native_values(ARTIFACT.program)
    assert list(values) == [op.written for op in OPERATIONS[:-1]]
    for index, (name, value) in enumerate(values.items()):
        assert value.index == index
        assert value.is_float == (name not in QUANTIZATIONS)
        assert value.described == (value.is_float, value.zero_point, value.maximum, value.ceil)
        if not value.is_float:
            q = QUANTIZATIONS[name]
            assert (value.zero_point, value.maximum) == (q.zero_point, q.maximum)
            assert value.ceil == (q.rounding == "ceil")
    assert any(value.ceil for value in values.values())
    assert any(value.is_float for value in values.values())


def test_layers():
    values, count = native_values(ARTIFACT.program), 0
    for operation, fields in described(Conv):
        stored = ARTIFACT.weights[operation.layer]
        weight = stored.integers()
        s_x = QUANTIZATIONS[operation.input].scale
        s_y = QUANTIZATIONS[operation.output].scale if operation.output in QUANTIZATIONS else 1.0
        (_, multiplier), (_, offset) = fields["multiplier"], fields["offset"]
        for o in range(len(stored.gain)):
            scale, gain = float(weight.scale[o]), float(stored.gain[o])
            assert multiplier[o] == np.float32(s_x * scale * gain / s_y)
            assert offset[o] == np.float32(float(stored.bias[o]) / s_y)
        kind, integers = fields["integers"]
        assert kind is FieldKind.INT8 and np.array_equal(integers, weight.integers.ravel())
        assert fields["out_channels"][1].tolist() == [weight.integers.shape[0]]
        assert fields["in_channels"][1].tolist() == [weight.integers.shape[1]]
        for name in ("input", "output"):
            kind, index = fields[name]
            assert kind is FieldKind.VALUE
            assert index.tolist() == [values[getattr(operation, name)].index]
        for name in ("kernel", "stride", "padding", "dilation"):
            kind, pair = fields[name]
            assert kind is FieldKind.INT32 and tuple(pair) == getattr(operation, name)
        for name in ("relu", "upsample"):
            assert fields[name][1].tolist() == [int(getattr(operation, name))]
        kind, residual = fields["residual"]
        assert kind is FieldKind.VALUE
        if operation.residual is None:
            assert residual.tolist() == []
        else:
            assert residual.tolist() == [values[operation.residual].index]
            ratio = np.float32(QUANTIZATIONS[operation.residual].scale / s_y)
            assert fields["ratio"][1].tolist() == [ratio] * weight.integers.shape[0]
        count += 1
    assert count > 20


def test_pixels():
    ((operation, fields),) = described(Preprocess)
    q = QUANTIZATIONS[operation.output]
    kind, table = fields["table"]
    assert kind is FieldKind.UINT8 and len(table) == 3 * 256
    for channel in range(3):
        for pixel in (0, 1, 100, 254, 255):
            real = (pixel - operation.mean[channel]) / operation.std[channel] / q.scale
            expected = min(max(round(real) + q.zero_point, 0), q.maximum)
            assert table[256 * channel + pixel] == expected
    assert fields["size"][1].tolist() == [128, 96]
    assert fields["keep_ratio"][1].tolist() == [1]


def test_tables():
    for operation, fields in described(Lookup):
        q_x, q_y = QUANTIZATIONS[operation.input], QUANTIZATIONS[operation.output]
        kind, table = fields["table"]
        assert kind is FieldKind.UINT8
        assert np.array_equal(table, operation.table(q_x, q_y))
        assert fields["function"] == (FieldKind.TEXT, "identity")
        assert fields["parameters"][1].tolist() == []


def test_boxes():
    ((operation, fields),) = described(Candidates)
    anchors = np.array(operation.base_anchors, np.float32).ravel()
    assert fields["base_anchors"][0] is FieldKind.FLOAT32
    assert fields["base_anchors"][1].tolist() == anchors.tolist()
    assert fields["anchors_per_level"][1].tolist() == [3] * 5
    assert fields["coder"] == (FieldKind.TEXT, "DeltaCoder")
    largest = np.float32(abs(math.log(operation.coder.max_ratio)))
    assert fields["coder.max_log_ratio"][1].tolist() == [largest]
    assert fields["activation"] == (FieldKind.TEXT, "none")
    assert fields["score_threshold"][1].tolist() == [] and fields["has_threshold"][1] == 0
    values = native_values(ARTIFACT.program)
    assert fields["scores"][1].tolist() == [values[name].index for name in operation.scores]
    assert fields["factors"][0] is FieldKind.VALUE and fields["factors"][1].tolist() == []
    ((operation, fields),) = described(RoIAlign)
    for level, (name, stride) in enumerate(zip(operation.inputs, operation.strides, strict=True)):
        assert fields["scales"][1][level] == np.float32(1 / stride)
        ratio = QUANTIZATIONS[name].scale / QUANTIZATIONS[operation.output].scale
        assert fields["ratios"][1][level] == np.float32(ratio)
    ((operation, fields),) = described(RegionCandidates)
    assert fields["score_threshold"][1].tolist() == [np.float32(operation.score_threshold)]
    assert np.array_equal(fields["coder.stds"][1], np.array(operation.coder.stds, np.float32))
    first, second = described(Suppress)
    assert [fields["group"][1] for _, fields in (first, second)] == ["level", "class"]
    ((operation, fields),) = described(Detections)
    of_masks = {"threshold", "extent", "factor", "aligned", "cropped"}
    of_masks = {"boxed_masks", "scored_masks", *(f"mask_{name}" for name in of_masks)}
    assert set(fields) == {"input", "num_classes", "masks", *of_masks}


def test_a_threshold_of_zero_is_one():
    """A missing number is a field without entries, and so is no number at all."""
    ((operation, _),) = described(Candidates)
    values, context = native_values(ARTIFACT.program), context_of(ARTIFACT)
    fields = contents(Fields(replace(operation, score_threshold=0.0), context, values))
    assert fields["score_threshold"][1].tolist() == [0] and fields["has_threshold"][1] == 1


def test_votes():
    artifact = tiny_rfcn_artifact(sampling_ratio=3)
    values, count = native_values(artifact.program), 0
    for operation, fields in described(PSRoIAlign, artifact):
        assert fields["scale"][1].tolist() == [np.float32(1 / operation.stride)] == [0.0625]
        assert fields["size"][1] == 3 and fields["sampling_ratio"][1] == 3
        for name in ("input", "boxes", "output"):
            assert fields[name][1].tolist() == [values[getattr(operation, name)].index]
        count += 1
    assert count == 2


def test_reals_of_a_field():
    operation = Affine("x", "y", (0.1, 1e-3), (2.0, 3.0))
    quantizations = {"x": Quantization(0.5), "y": Quantization(0.25)}
    values = {name: native for name, native in zip("xy", map(value_at, (4, 7)), strict=True)}
    fields = contents(Fields(operation, Context(quantizations, {}), values))
    assert fields["input"][1].tolist() == [4] and fields["output"][1].tolist() == [7]
    kind, gain = fields["gain"]
    assert kind is FieldKind.FLOAT32 and gain.tolist() == np.float32([0.1, 1e-3]).tolist()
    assert fields["multiplier"][1].tolist() == np.float32([0.2, 2e-3]).tolist()
    assert fields["offset"][1].tolist() == [8, 12]


def value_at(index):
    return replace(native_values(ARTIFACT.program)["image"], index=index)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (3, FieldKind.INT32, [3]),
        (True, FieldKind.INT32, [1]),
        (0.1, FieldKind.FLOAT32, [np.float32(0.1)]),
        ((1, 2), FieldKind.INT32, [1, 2]),
        ((0.5, 2.0), FieldKind.FLOAT32, [0.5, 2]),
        (np.array([1, 2]), FieldKind.INT32, [1, 2]),
        (np.array([[1.0], [2.0]]), FieldKind.FLOAT32, [1, 2]),
        (np.array([-1], np.int8), FieldKind.INT8, [-1]),
        (np.array([200], np.uint8), FieldKind.UINT8, [200]),
        (np.arange(6, dtype=np.int32).reshape(2, 3).T, FieldKind.INT32, [0, 3, 1, 4, 2, 5]),
        (None, FieldKind.INT32, []),
    ],
)
def test_a_field(value, kind, expected):
    found = field("name", value)
    assert (found.name, found.kind, found.count) == (b"name", kind, len(expected))
    assert read(found).tolist() == expected


def test_a_field_of_text_or_of_values():
    assert read(field("name", "ü")) == "ü" and field("name", "ü").count == 2
    found = field("name", np.array([3], np.int32), FieldKind.VALUE)
    assert found.kind == FieldKind.VALUE and read(found).tolist() == [3]


def test_fields_keep_what_they_point_to():
    operation = MaxPool("stem", "pooled", (3, 3), (2, 2), (1, 1))
    kept = [
        Fields(operation, context_of(ARTIFACT), native_values(ARTIFACT.program)) for _ in range(200)
    ]
    gc.collect()
    for fields in kept:
        found = contents(fields)
        assert found["kernel"][1].tolist() == [3, 3] and found["padding"][1].tolist() == [1, 1]
