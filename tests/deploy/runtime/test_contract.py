"""What every operation owes, asked of all that are registered.

An operation without an example fails here. ``LBWDET_CONTRACT_CASES`` tries more cases of each.
"""

import dataclasses
import json
import os

import numpy as np
import pytest

from lbwdet.deploy.runtime import native
from lbwdet.deploy.runtime.alone import NativeAlone, check_alone, compute_alone, run_alone
from lbwdet.deploy.runtime.declaration import Kind, Range, markers
from lbwdet.deploy.runtime.fields import from_json, to_json
from lbwdet.deploy.runtime.native_library import library_path
from lbwdet.deploy.runtime.operations import Operation, every_operation
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.shapes import Map, Rows
from lbwdet.deploy.runtime.validate import check_weight
from lbwdet.errors import ArtifactError

CASES = int(os.environ.get("LBWDET_CONTRACT_CASES", "24"))
KINDS = {
    name: kind
    for name, kind in every_operation().items()
    if kind.__module__.startswith("lbwdet.deploy.runtime.operations.")
}
ISAS = (
    [name for name, usable in native.instruction_sets().items() if usable] if library_path() else []
)
needs_native = pytest.mark.skipif(library_path() is None, reason="the native engine is not built")
each_operation = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def examples(kind, count=CASES):
    for seed in range(count):
        yield seed, kind.example(np.random.default_rng(seed))


def same_bytes(found, expected):
    if isinstance(expected, tuple):
        return all(same_bytes(a, b) for a, b in zip(found, expected, strict=True))
    return (found.dtype, found.shape) == (expected.dtype, expected.shape) and (
        found.tobytes() == expected.tobytes()
    )


def test_operations_are_there():
    assert {"Conv", "Preprocess", "Detections", "Lookup"} <= set(KINDS)


@each_operation
def test_maps_of_no_regions_give_none(kind):
    for _, example in examples(kind, 4):
        roles = [*example.operation.reads(), *example.operation.writes()]
        if not example.values or any(role.kind not in Kind.MAP for _, role in roles):
            continue
        none = {name: value[:0] for name, value in example.values.items()}
        found = compute_alone(dataclasses.replace(example, values=none))
        assert found.shape == (0, *compute_alone(example).shape[1:])


@each_operation
def test_an_example_is_whole_and_valid(kind):
    for _, example in examples(kind):
        assert type(example.operation) is kind
        assert set(dict(example.operation.reads())) == set(example.values)
        assert set(example.operation.layers()) == set(example.weights)
        for name, weight in example.weights.items():
            check_weight(name, weight)
        check_alone(example)


@each_operation
def test_examples_repeat_and_differ(kind):
    first, again = (kind.example(np.random.default_rng(3)) for _ in range(2))
    assert first.operation == again.operation
    assert all(np.array_equal(first.values[name], again.values[name]) for name in first.values)
    found = [compute_alone(example) for _, example in examples(kind)]
    assert any(not same_bytes(other, found[0]) for other in found[1:])


@each_operation
def test_the_output_is_what_validation_says(kind):
    for seed, example in examples(kind):
        described, found = check_alone(example), compute_alone(example)
        written = example.operation.written
        if not written:
            assert described is None and isinstance(found, tuple)
        elif isinstance(described, Rows):
            assert found.dtype == np.float32 and found.shape[1:] == (described.columns,)
        else:
            assert isinstance(described, Map)
            assert found.shape[3] == described.channels, seed
            assert found.dtype == (np.uint8 if written in example.quantizations else np.float32)
            # Of Preprocess the sides are those of the smallest image.
            if example.values:
                assert found.shape[1:3] == (described.height.smallest, described.width.smallest)


@each_operation
def test_computing_changes_no_input(kind):
    for _, example in examples(kind, 4):
        before = {name: value.copy() for name, value in example.values.items()}
        compute_alone(example)
        assert all(np.array_equal(example.values[name], before[name]) for name in before)


@each_operation
def test_json_gives_it_back(kind):
    for _, example in examples(kind):
        text = json.dumps(to_json(example.operation, Operation), allow_nan=False)
        assert from_json(Operation, json.loads(text), "here") == example.operation


@each_operation
def test_every_number_has_a_range_that_is_kept(kind):
    example = kind.example(np.random.default_rng(0))
    checked = 0
    for field in dataclasses.fields(kind):
        value, found = getattr(example.operation, field.name), markers(kind)[field.name]
        if isinstance(value, bool | str) or dataclasses.is_dataclass(value) or value in (None, ()):
            continue
        ranges = [marker for marker in found if isinstance(marker, Range)]
        if isinstance(value, int | float) or not isinstance(value[0], str):
            assert len(ranges) == 1, f"{field.name} has no range"
            for wrong in (ranges[0].low - 1e3, ranges[0].high * 2 + 1e3):
                changed = dataclasses.replace(
                    example.operation, **{field.name: (wrong,) if type(value) is tuple else wrong}
                )
                with pytest.raises(ArtifactError, match=f"{field.name} is .*; allowed is"):
                    check_alone(dataclasses.replace(example, operation=changed))
            checked += 1
    numeric = {"Conv", "MaxPool", "Candidates", "Suppress", "RoIAlign", "Preprocess"}
    assert checked or kind.__name__ not in numeric


@each_operation
def test_values_of_another_kind_are_refused(kind):
    example = kind.example(np.random.default_rng(0))
    for name, role in example.operation.reads():
        quantizations = {**example.quantizations}
        if name in quantizations:
            del quantizations[name]
        elif example.values[name].ndim == 4:
            quantizations[name] = Quantization(1.0)
        changed = dataclasses.replace(example, quantizations=quantizations)
        if quantizations != example.quantizations and len(role.kind) == 1:
            with pytest.raises(ArtifactError, match=r"is (uint8|float32), not|quantization"):
                check_alone(changed)


@each_operation
def test_what_is_quantized_like_an_input_may_not_differ(kind):
    example = kind.example(np.random.default_rng(0))
    for name, role in example.operation.writes():
        if role.quantized_like:
            other = dataclasses.replace(example.quantizations[name], maximum=7, zero_point=0)
            changed = dataclasses.replace(
                example, quantizations={**example.quantizations, name: other}
            )
            with pytest.raises(ArtifactError, match="differ in quantization"):
                check_alone(changed)


@needs_native
@pytest.mark.parametrize("isa", ISAS)
@each_operation
def test_native_is_the_reference(kind, isa):
    for seed, example in examples(kind):
        expected = compute_alone(example)
        assert same_bytes(run_alone(example, isa=isa), expected), f"seed {seed}"


@needs_native
@pytest.mark.parametrize("threads", [2, 3, 4])
@each_operation
def test_threads_change_nothing(kind, threads):
    for seed, example in examples(kind, 6):
        expected = compute_alone(example)
        assert same_bytes(run_alone(example, threads=threads), expected), f"seed {seed}"


@needs_native
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("border", [1, 3])
@each_operation
def test_borders_of_values_change_nothing(kind, border, isa):
    """Whoever writes a map leaves the border its reader asked for; whoever reads steps over it."""
    for seed, example in examples(kind, 8):
        expected = compute_alone(example)
        assert same_bytes(run_alone(example, isa=isa, border=border), expected), f"seed {seed}"


@needs_native
@each_operation
def test_running_twice_changes_nothing(kind):
    for _, example in examples(kind, 3):
        with NativeAlone(example) as engine:
            assert same_bytes(engine.run(), engine.run())


@needs_native
@each_operation
def test_memory_is_counted_before_anything_runs(kind):
    example = kind.example(np.random.default_rng(1))
    with NativeAlone(example, memory_limit=1) as engine:
        if example.operation.written or example.values:
            with pytest.raises(native.NativeError, match="more than the limit"):
                engine.run()
