"""What layers read is what they were trained with, whoever else reads the same value."""

import dataclasses

import numpy as np
import pytest
import torch

from lbwdet.deploy.calibration import calibrate
from lbwdet.deploy.calibration.convolution import convolve
from lbwdet.deploy.calibration.histogram import Histogram, affine, codes, real
from lbwdet.deploy.calibration.readers import (
    Readers,
    add_requantize,
    functions_of,
    quantization_for,
    readers_of,
)
from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.artifact import Artifact
from lbwdet.deploy.runtime.context import LayerNumbers
from lbwdet.deploy.runtime.native import NativeEngine
from lbwdet.deploy.runtime.native_library import library_path
from lbwdet.deploy.runtime.operations.add import Add
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.lookup import Lookup, requantize
from lbwdet.deploy.runtime.operations.max_pool import MaxPool
from lbwdet.deploy.runtime.operations.upsample import Upsample
from lbwdet.deploy.runtime.program import Program
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine, run_program
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
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def with_rounded_inputs(lowered, image):
    """Every value in reals, where nothing is rounded but what layers were trained to round."""
    program = add_requantize(Program(lowered.program.operations, {}), lowered.activations)
    layers = {name: LayerNumbers.real(weight) for name, weight in lowered.weights.items()}
    return run_program(program, layers, image, convolve=convolve)[0]


def integers(program, lowered, image):
    """What the integers of every value stand for."""
    layers = {name: LayerNumbers.integer(weight) for name, weight in lowered.weights.items()}
    values = run_program(program, layers, image)[0]
    return {name: real(values[name], q) for name, q in program.quantizations.items()}


def test_with_rounded_inputs_the_program_is_the_fake_quantized_detector(tiny, trained):
    model, lowered = trained
    values = with_rounded_inputs(lowered, tiny.image)
    with torch.no_grad():
        features = model.extract_feat(torch.from_numpy(values["input"]).permute(0, 3, 1, 2))
        expected = [*features[:4], *model.rpn_head(features)[0], *model.rpn_head(features)[1]]
    operations = {type(op).__name__: op for op in lowered.program.operations}
    candidates = operations["Candidates"]
    names = (*operations["RoIAlign"].inputs, *candidates.scores, *candidates.deltas)
    for name, value in zip(names, expected, strict=True):
        # where float32 sums differ in their last bits, an integer may be the next one
        assert relative(values[name], value.permute(0, 2, 3, 1).numpy()) < 0.02, name


def test_layers_read_what_they_read_in_training(tiny, trained):
    """Given the same value: without what earlier layers did to it."""
    lowered = trained[1]
    program = calibrate(
        lowered.program, lowered.weights, [("noise", tiny.image)], "mse", lowered.activations
    )
    q = program.quantizations
    copies = {op.output: op for op in program.operations if isinstance(op, Lookup)}
    assert len(copies) > 10
    values = with_rounded_inputs(lowered, tiny.image)
    residuals = {op.residual for op in program.operations if isinstance(op, Conv)} - {None}
    assert all(q[name].maximum == 255 for name in residuals)
    for conv in (op for op in program.operations if isinstance(op, Conv)):
        wanted = lowered.activations[conv.layer]
        assert q[conv.input] == wanted
        copy = copies.get(conv.input)
        source = conv.input if copy is None else copy.input
        found = codes(values[source], q[source])
        if copy is not None:
            found = copy.table(q[source], wanted)[found]
        steps = np.abs(found.astype(int) - codes(values[source], wanted))
        assert steps.max() <= 1
        if wanted.maximum == 15:
            assert steps.mean() < 0.04, conv.layer


def stored_once(lowered, calibrated):
    """The program without copies: who reads a value reads the first layer's integers."""
    quantizations = dict(calibrated.quantizations)
    sources = readers_of(lowered.program, {}).sources
    for conv in reversed(lowered.program.operations):
        if isinstance(conv, Conv):
            quantizations[sources.get(conv.input, conv.input)] = lowered.activations[conv.layer]
    for pooled, source in sources.items():
        quantizations[pooled] = quantizations[source]
    written = {operation.written for operation in lowered.program.operations}
    kept = {name: q for name, q in quantizations.items() if name in written}
    return Program(lowered.program.operations, kept)


def test_maps_are_those_of_training(tiny, trained):
    """As close as 8 bits bring them: a step of 1 / 15 is far, and one changes the next."""
    lowered = trained[1]
    images = [("noise", tiny.image)]
    program = calibrate(lowered.program, lowered.weights, images, "mse", lowered.activations)
    exact = with_rounded_inputs(lowered, tiny.image)
    found = integers(program, lowered, tiny.image)
    once = integers(stored_once(lowered, program), lowered, tiny.image)
    for name in (f"neck.fpn_convs.{level}.conv" for level in range(4)):
        assert relative(found[name], exact[name]) < 0.1
        assert relative(found[name], exact[name]) < 0.7 * relative(once[name], exact[name])


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
    result.add(values)
    return result


class TestStorage:
    values = np.random.default_rng(0).exponential(3.0, 20_000).astype(np.float32)

    def test_a_single_reader_is_asked(self):
        seen = histogram(self.values)
        assert quantization_for(Readers([FOUR]), seen, affine(0, 30)) == FOUR

    def test_steps_of_channels_in_few_bits_are_finer_for_others(self):
        few = dataclasses.replace(FOUR, exponents=(0, -2))
        readers = Readers([few], unrounded=False)
        assert quantization_for(readers, None, EIGHT, steps=True) == few
        for shared in (Readers([few], unrounded=True), Readers([few, FOUR], unrounded=False)):
            stored = quantization_for(shared, None, EIGHT, steps=True)
            assert (stored.maximum, stored.exponents) == (255, few.exponents)
            assert stored.scale == np.float32(few.scale / 17)

    def test_nobody_was_trained(self):
        seen = histogram(self.values)
        assert quantization_for(Readers([], unrounded=True), seen, affine(0, 30)) == affine(0, 30)

    @pytest.mark.parametrize("readers", [Readers([FOUR], unrounded=True), Readers([FOUR, OTHER])])
    def test_several_share_eight_bits(self, readers):
        found = quantization_for(readers, histogram(self.values), affine(0, 30))
        assert found.maximum == 255
        for wanted in readers.trained:
            read = requantize("x", "y").table(found, wanted)[codes(self.values, found)]
            assert (read != codes(self.values, wanted)).mean() < 0.05

    def test_steps_that_divide_those_of_the_reader(self):
        alone = Readers([FOUR, dataclasses.replace(FOUR, maximum=7)])
        found = quantization_for(alone, histogram(self.values), affine(0, 30))
        read = requantize("x", "y").table(found, FOUR)[codes(self.values, found)]
        assert np.array_equal(read, codes(self.values, FOUR))


def test_copies_come_once_right_before_it_is_read():
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
        requantize("z", "z@b"),
        conv("b", "z@b", "u"),
        conv("c", "z@b", "v"),
        requantize("z", "z@d"),
        conv("d", "z@d", "w", residual="u"),
        operations[-1],
    )
    assert found.quantizations == quantizations | {"z@b": FOUR, "z@d": OTHER}


def test_what_is_joined_or_upsampled_is_read_by_other_operations():
    operations = (
        Upsample("x", "y", like="z"),
        Add(("y", "z"), "w"),
        Conv("a", "w", "o", (1, 1)),
    )
    readers = readers_of(Program(operations, {}), {"a": FOUR})
    assert readers.sources == {"y": "x"}
    assert readers.of("x") == readers.of("z") == Readers([], unrounded=True)
    assert readers.of("w") == Readers([FOUR])


def test_functions_of_values_that_nobody_reads_otherwise():
    silu, other = Lookup("x", "y", "silu"), Lookup("x", "z", "silu")
    found = functions_of(Program((silu, other), {}))
    values = np.array([-2.0, 0.0, 3.0])
    assert set(found) == {"x"}
    np.testing.assert_allclose(found["x"](values), values / (1 + np.exp(-values)))
    for reader in (MaxPool("x", "w", (2, 2), (2, 2), (0, 0)), Lookup("x", "w", "sigmoid")):
        assert not functions_of(Program((silu, reader), {}))
