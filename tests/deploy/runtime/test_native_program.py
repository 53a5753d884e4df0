"""The numbers that the native engine is given are those of the operations' definition."""

import math

import numpy as np

from lbwdet.deploy.runtime.native_program import Describer
from lbwdet.deploy.runtime.operations import (
    Conv,
    Detections,
    Preprocess,
    Proposals,
    PSRoIAlign,
    RoIAlign,
)
from lbwdet.deploy.testing import tiny_artifact, tiny_rfcn_artifact

ARTIFACT = tiny_artifact(granularity="channel", activation_bits=4)
OPERATIONS = ARTIFACT.program.operations
QUANTIZATIONS = ARTIFACT.program.quantizations


def described(kind, artifact=ARTIFACT):
    describer = Describer(artifact)
    for operation in artifact.program.operations:
        if isinstance(operation, kind):
            yield describer, operation, describer.describe(operation)[1]


def test_values():
    describer = Describer(ARTIFACT)
    assert list(describer.indices) == [op.output for op in OPERATIONS[:-1]]
    for name, index in describer.indices.items():
        is_float, zero_point, maximum, ceil = describer.values[index]
        assert is_float == (name not in QUANTIZATIONS)
        if not is_float:
            q = QUANTIZATIONS[name]
            assert (zero_point, maximum) == (q.zero_point, q.maximum)
            assert ceil == (q.rounding == "ceil")
    assert any(value[3] for value in describer.values)


def test_layers():
    count = 0
    for describer, operation, struct in described(Conv):
        stored = ARTIFACT.weights[operation.layer]
        weight = stored.integers()
        s_x = QUANTIZATIONS[operation.input].scale
        s_y = QUANTIZATIONS[operation.output].scale if operation.output in QUANTIZATIONS else 1.0
        for o in range(len(stored.gain)):
            scale, gain = float(weight.scale[o]), float(stored.gain[o])
            assert struct.multiplier[o] == np.float32(s_x * scale * gain / s_y)
            assert struct.offset[o] == np.float32(float(stored.bias[o]) / s_y)
        flat = weight.integers.ravel()
        assert all(struct.integers[i] == flat[i] for i in range(0, len(flat), 97))
        if operation.residual is None:
            assert struct.residual == -1
        else:
            assert struct.residual == describer.indices[operation.residual]
            assert struct.ratio == np.float32(QUANTIZATIONS[operation.residual].scale / s_y)
        count += 1
    assert count > 20


def test_pixels():
    ((_, operation, struct),) = described(Preprocess)
    q = QUANTIZATIONS[operation.output]
    for channel in range(3):
        for pixel in (0, 1, 100, 254, 255):
            real = (pixel - operation.mean[channel]) / operation.std[channel] / q.scale
            expected = min(max(round(real) + q.zero_point, 0), q.maximum)
            assert struct.table[256 * channel + pixel] == expected


def test_boxes():
    ((_, operation, struct),) = described(Proposals)
    anchors = np.array(operation.base_anchors, np.float32).ravel()
    assert [struct.base_anchors[i] for i in range(len(anchors))] == anchors.tolist()
    assert struct.coder.max_log_ratio == np.float32(abs(math.log(operation.coder.max_ratio)))
    ((_, operation, struct),) = described(RoIAlign)
    for level, (name, stride) in enumerate(zip(operation.inputs, operation.strides, strict=True)):
        assert struct.scales[level] == np.float32(1 / stride)
        ratio = QUANTIZATIONS[name].scale / QUANTIZATIONS[operation.output].scale
        assert struct.ratios[level] == np.float32(ratio)
    ((_, operation, struct),) = described(Detections)
    assert struct.score_threshold == np.float32(operation.score_threshold)
    assert list(struct.coder.stds) == np.array(operation.coder.stds, np.float32).tolist()


def test_votes():
    for describer, operation, struct in described(PSRoIAlign, tiny_rfcn_artifact(sampling_ratio=3)):
        assert struct.scale == np.float32(1 / operation.stride) == np.float32(0.0625)
        assert (struct.size, struct.sampling_ratio) == (3, 3)
        names = operation.input, operation.boxes, operation.output
        values = struct.input, struct.boxes, struct.output
        assert [describer.indices[name] for name in names] == list(values)
