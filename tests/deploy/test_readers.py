"""What layers read is what they were trained with, whoever else reads the same value."""

import dataclasses

import numpy as np
import pytest
import torch
from lbwdet.deploy.runtime.reference import ReferenceEngine
from lbwdet.deploy.runtime.requantize_table import requantize_table

from lbwdet.deploy.calibrate import calibrate
from lbwdet.deploy.float_program import FloatProgram, fake_quantize, requantize
from lbwdet.deploy.histogram import Histogram, affine, codes
from lbwdet.deploy.lower import lower
from lbwdet.deploy.readers import Readers, add_requantize, quantization_for, readers_of
from lbwdet.deploy.runtime.artifact import Artifact
from lbwdet.deploy.runtime.native import NativeEngine
from lbwdet.deploy.runtime.native_library import library_path
from lbwdet.deploy.runtime.operations import Conv, MaxPool, Program, Quantization, Requantize
from lbwdet.deploy.runtime.validate import check_artifact
from lbwdet.layers import InputQuantizer, calibration

FOUR, OTHER = Quantization(1.0, 0, 15, "ceil"), Quantization(0.75, 0, 15, "ceil")
EIGHT = Quantization(0.125)


@pytest.fixture(scope="module")
def trained(tiny):
    """A detector of 4-bit activations whose resolutions moved since calibration, lowered."""
    model = tiny.build(dict(weight=dict(bit_width=4), activation=dict(bit_width=4)))
    image = torch.from_numpy(tiny.image).permute(2, 0, 1)[None].float() / 64 - 2
    with calibration(model), torch.no_grad():
        features = model.extract_feat(image[..., :64, :96])
        model.rpn_head(features)
        model.roi_head.bbox_head(torch.nn.functional.adaptive_avg_pool2d(features[0], 7))
    random = np.random.default_rng(0)
    for layer in model.modules():
        if isinstance(layer, InputQuantizer):
            layer.alpha.data.mul_(float(random.uniform(0.9, 1.1)))
    return model, lower(model, tiny.pipeline)


def relative(found, expected):
    return float((found - expected).norm() / expected.norm())


def test_with_rounded_inputs_the_float_program_is_the_fake_quantized_detector(tiny, trained):
    model, lowered = trained
    runner = FloatProgram(lowered.program, lowered.weights, inputs=lowered.activations)
    values = runner.run(tiny.image)
    with torch.no_grad():
        features = model.extract_feat(values["input"])
        expected = [*features[:4], *model.rpn_head(features)[0], *model.rpn_head(features)[1]]
    operations = {type(operation).__name__: operation for operation in lowered.program.operations}
    proposals = operations["Proposals"]
    names = (*operations["RoIAlign"].inputs, *proposals.scores, *proposals.deltas)
    for name, value in zip(names, expected, strict=True):
        # where float32 sums differ in their last bits, an integer may be the next one
        assert relative(values[name], value) < 0.02, name


def test_layers_read_what_they_read_in_training(tiny, trained):
    """Given the same value: without what earlier layers did to it."""
    lowered = trained[1]
    program = calibrate(
        lowered.program, lowered.weights, [("noise", tiny.image)], "mse", lowered.activations
    )
    q = program.quantizations
    copies = {op.output: op.input for op in program.operations if isinstance(op, Requantize)}
    assert len(copies) > 10
    values = FloatProgram(program, lowered.weights, inputs=lowered.activations).run(tiny.image)
    residuals = {op.residual for op in program.operations if isinstance(op, Conv)} - {None}
    assert all(q[name].maximum == 255 for name in residuals)
    for conv in (op for op in program.operations if isinstance(op, Conv)):
        wanted = lowered.activations[conv.layer]
        assert q[conv.input] == wanted
        source = copies.get(conv.input, conv.input)
        stored = fake_quantize(values[source], q[source])
        found = requantize(stored, q[source], wanted) if conv.input in copies else stored
        steps = (found - fake_quantize(values[source], wanted)) / wanted.scale
        assert steps.abs().max() < 1.01
        if wanted.maximum == 15:
            assert (steps.abs() > 0.5).float().mean() < 0.04, conv.layer


def stored_once(lowered, calibrated):
    """The program without Requantize: who reads a value reads the first layer's integers."""
    quantizations = dict(calibrated.quantizations)
    sources = readers_of(lowered.program, {}).sources
    for conv in reversed(lowered.program.operations):
        if isinstance(conv, Conv):
            quantizations[sources.get(conv.input, conv.input)] = lowered.activations[conv.layer]
    for pooled, source in sources.items():
        quantizations[pooled] = quantizations[source]
    return Program(lowered.program.operations, quantizations)


def test_maps_are_those_of_training(tiny, trained):
    """As close as 8 bits bring them: a step of 1 / 15 is far, and one changes the next."""
    lowered = trained[1]
    images = [("noise", tiny.image)]
    program = calibrate(lowered.program, lowered.weights, images, "mse", lowered.activations)

    def maps(runner):
        values = runner.run(tiny.image)
        return [values[f"neck.fpn_convs.{level}.conv"] for level in range(4)]

    def rounded(program):
        return maps(FloatProgram(program, lowered.weights, quantized=True))

    exact = maps(FloatProgram(lowered.program, lowered.weights, inputs=lowered.activations))
    once = rounded(stored_once(lowered, program))
    for found, before, expected in zip(rounded(program), once, exact, strict=True):
        assert relative(found, expected) < 0.1
        assert relative(found, expected) < 0.7 * relative(before, expected)


@pytest.mark.skipif(library_path() is None, reason="the native engine is not built")
def test_engines_agree_to_the_last_bit(tiny, trained):
    lowered = trained[1]
    program = calibrate(
        lowered.program, lowered.weights, [("noise", tiny.image)], "mse", lowered.activations
    )
    artifact = Artifact(program, lowered.weights, ("red", "green"), {})
    check_artifact(program, lowered.weights, artifact.classes)
    names = list(program.quantizations)
    expected = ReferenceEngine(artifact).values(tiny.image, names)
    with NativeEngine(artifact, threads=1) as engine:
        found = engine.values(tiny.image, names)
    for name in names:
        assert found[name].tobytes() == expected[name].tobytes(), name


def histogram(values):
    result = Histogram()
    result.add(torch.as_tensor(values))
    return result


class TestStorage:
    values = np.random.default_rng(0).exponential(3.0, 20_000).astype(np.float32)

    def test_a_single_reader_is_asked(self):
        seen = histogram(self.values)
        assert quantization_for(Readers([FOUR]), seen, affine(0, 30)) == FOUR

    def test_nobody_was_trained(self):
        seen = histogram(self.values)
        assert quantization_for(Readers([], unrounded=True), seen, affine(0, 30)) == affine(0, 30)

    @pytest.mark.parametrize("readers", [Readers([FOUR], unrounded=True), Readers([FOUR, OTHER])])
    def test_several_share_eight_bits(self, readers):
        found = quantization_for(readers, histogram(self.values), affine(0, 30))
        assert found.maximum == 255
        for wanted in readers.trained:
            read = requantize_table(found, wanted)[codes(self.values, found)]
            assert (read != codes(self.values, wanted)).mean() < 0.05

    def test_steps_that_divide_those_of_the_reader(self):
        alone = Readers([FOUR, dataclasses.replace(FOUR, maximum=7)])
        found = quantization_for(alone, histogram(self.values), affine(0, 30))
        read = requantize_table(found, FOUR)[codes(self.values, found)]
        assert np.array_equal(read, codes(self.values, FOUR))


def test_requantize_comes_once_right_before_it_is_read():
    def conv(layer, source, output, residual=None):
        return Conv(layer, source, output, (1, 1), residual=residual)

    operations = (
        conv("a", "x", "y"),
        MaxPool("y", "z", (1, 1), (2, 2)),
        conv("b", "z", "u"),
        conv("c", "z", "v"),
        conv("d", "z", "w", residual="u"),
        conv("e", "w", "o"),
    )
    trained = {"a": EIGHT, "b": FOUR, "c": FOUR, "d": OTHER}
    readers = readers_of(Program(operations, {}), trained)
    assert readers.sources == {"z": "y"}
    assert readers.of("y") == readers.of("z") == Readers([FOUR, OTHER])
    assert readers.of("u") == readers.of("w") == Readers([], unrounded=True)
    quantizations = dict.fromkeys("xyzuvwo", EIGHT)
    found = add_requantize(Program(operations, quantizations), trained)
    assert found.operations == (
        *operations[:2],
        Requantize("z", "z@b"),
        conv("b", "z@b", "u"),
        conv("c", "z@b", "v"),
        Requantize("z", "z@d"),
        conv("d", "z@d", "w", residual="u"),
        operations[-1],
    )
    assert found.quantizations == quantizations | {"z@b": FOUR, "z@d": OTHER}
