"""A little network in which channels with steps of their own meet, lowered and calibrated."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lbwdet.deploy.calibration.calibrate import calibrate
from lbwdet.deploy.calibration.steps import in_eight_bits, takes_steps
from lbwdet.deploy.runtime.operations.add import Add
from lbwdet.deploy.runtime.operations.affine import Affine
from lbwdet.deploy.runtime.operations.concat import Concat
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.lookup import Lookup
from lbwdet.deploy.runtime.operations.max_pool import MaxPool
from lbwdet.deploy.runtime.operations.upsample import Upsample
from lbwdet.deploy.runtime.program import Program
from lbwdet.deploy.runtime.quantization import Quantization

LEFT = Quantization(1.0, 32, exponents=(-4, -6))
BOTH = Quantization(1.0, 32, exponents=(-4, -6, -3))


def conv(name: str, source: str, channels: int, exponents: tuple[int, ...] = ()) -> Conv:
    return Conv(name, source, name, (1, 1), function="silu", input_exponents=exponents)


def program(*operations) -> Program:
    return Program(operations, {})


class TestTakesSteps:
    def test_what_everybody_knows(self):
        chain = program(
            conv("a", "x", 2), MaxPool("a", "b", (3, 3), (1, 1), (1, 1)), Lookup("b", "c", "tanh")
        )
        assert takes_steps(chain) == {"x"}  # the pool hands on what the table does not know

    def test_sums_and_joined_maps(self):
        chain = program(
            conv("a", "x", 2), conv("b", "x", 2), Add(("a", "b"), "c"), Concat(("a", "c"), "d")
        )
        assert takes_steps(chain) == {"x", "a", "b", "c", "d"}


@pytest.fixture
def small(monkeypatch):
    """Calibrates a program on two-channel noise instead of an image."""
    from lbwdet.deploy.runtime.weights import StoredWeight

    def run(operations, trained, outputs):
        random = np.random.default_rng(0)
        weights = {
            name: StoredWeight(
                random.integers(-3, 4, (out, given, 1, 1)).astype(np.int8),
                np.float32([0.25]),
                "dense",
                3,
                3,
                np.ones(out, np.float32),
                np.zeros(out, np.float32),
            )
            for name, (given, out) in outputs.items()
        }
        from lbwdet.deploy.runtime.operations.preprocess import Preprocess

        first = Preprocess("image", (32, 32), True, (1.0,) * 3, (50.0,) * 3, True, 1)
        found = calibrate(
            program(first, *operations),
            weights,
            [("noise", random.integers(0, 256, (24, 24, 3)).astype(np.uint8))],
            trained=trained,
        )
        return found

    return run


def test_inputs_of_a_joined_map_get_its_steps(small):
    found = small(
        [
            conv("a", "image", 3),
            conv("b", "image", 3),
            Concat(("a", "b"), "ab"),
            conv("c", "ab", 3, BOTH.exponents),
        ],
        {"c": BOTH},
        {"a": (3, 2), "b": (3, 1), "c": (3, 2)},
    )
    q = found.quantizations
    assert q["ab"] == BOTH
    assert (q["a"].exponents, q["b"].exponents) == ((-4, -6), (-3,))
    assert not any(isinstance(operation, Affine) for operation in found.operations)


def test_inputs_of_a_joined_map_of_few_bits_have_eight(small):
    """Others may read them, unrounded; rounded at the join, they have the joined map's edges."""
    few = Quantization(1.0, 5, 15, exponents=BOTH.exponents)
    found = small(
        [
            conv("a", "image", 3),
            conv("b", "image", 3),
            Concat(("a", "b"), "ab"),
            conv("c", "ab", 3, few.exponents),
        ],
        {"c": few},
        {"a": (3, 2), "b": (3, 1), "c": (3, 2)},
    )
    q = found.quantizations
    assert q["ab"] == few
    assert [q[name].maximum for name in "ab"] == [255, 255]
    assert (q["a"].exponents, q["b"].exponents) == ((-4, -6), (-3,))


def test_a_residual_has_the_steps_of_what_it_is_added_to(small):
    added = Conv("b", "image", "b", (1, 1), residual="a")
    found = small(
        [conv("a", "image", 3), added, conv("c", "b", 2, LEFT.exponents)],
        {"c": LEFT},
        {"a": (3, 2), "b": (3, 2), "c": (2, 2)},
    )
    assert found.quantizations["b"] == LEFT
    assert found.quantizations["a"].exponents == LEFT.exponents
    assert not any(isinstance(operation, Affine) for operation in found.operations)


@pytest.mark.parametrize("also_read", [False, True])
def test_a_residual_below_zero_is_kept_where_the_sum_ends_in_a_relu(small, also_read):
    """In its own steps, or in those that another layer reads it in."""
    positive, other = replace(LEFT, zero_point=0), replace(LEFT, exponents=(-2, -2))
    added = Conv("b", "image", "b", (1, 1), residual="a", relu=True)
    found = small(
        [
            Conv("a", "image", "a", (1, 1)),
            *([conv("d", "a", 2, other.exponents)] if also_read else []),
            added,
            conv("c", "b", 2, positive.exponents),
        ],
        {"c": positive, "d": other},
        {"a": (3, 2), "b": (3, 2), "c": (2, 2), "d": (2, 2)},
    )
    assert found.quantizations["b"] == positive
    (residual,) = [each.residual for each in found.operations if each.written == "b"]
    assert residual == "a"
    if also_read:
        assert found.quantizations["a"] == other
    else:
        scale = 2 * positive.scale
        assert found.quantizations["a"] == replace(positive, scale=scale, zero_point=128)


def test_a_sum_of_few_bits_is_one_of_eight(small):
    """Addends are not rounded to what a layer rounds their sum to."""
    few = Quantization(1.0, 5, 15, exponents=(-4, -6))
    added = Conv("b", "image", "b", (1, 1), residual="a")
    found = small(
        [conv("a", "image", 3), added, conv("c", "b", 2, few.exponents)],
        {"c": few},
        {"a": (3, 2), "b": (3, 2), "c": (2, 2)},
    )
    assert found.quantizations["b"] == few  # nobody else reads it
    finer = Quantization(float(np.float32(1 / 17)), 5 * 17, 255, exponents=few.exponents)
    assert found.quantizations["a"] == finer


@pytest.mark.parametrize("maximum", [1, 3, 7, 15, 31, 63, 127, 255])
def test_eight_bits_have_their_edges_where_fewer_have_theirs(maximum):
    few = Quantization(0.5, maximum // 2, maximum, exponents=(-1,))
    finer = in_eight_bits(few)
    parts = round(few.scale / finer.scale)
    assert parts % 2 and parts * maximum <= finer.maximum == 255
    assert (finer.exponents, finer.zero_point) == (few.exponents, parts * few.zero_point)
    assert (parts == 1) == (maximum > 85)


def test_a_residual_with_other_steps_is_read_in_them(small):
    other = Quantization(1.0, 32, exponents=(-2, -2))
    added = Conv("b", "image", "b", (1, 1), residual="a")
    found = small(
        [
            conv("a", "image", 3),
            conv("d", "a", 2, other.exponents),
            added,
            conv("c", "b", 2, LEFT.exponents),
        ],
        {"c": LEFT, "d": other},
        {"a": (3, 2), "b": (3, 2), "c": (2, 2), "d": (2, 2)},
    )
    assert not any(isinstance(each, Affine) for each in found.operations)
    (residual,) = [each.residual for each in found.operations if each.written == "b"]
    assert (residual, found.quantizations["a"]) == ("a", other)
    assert found.quantizations["b"].exponents == LEFT.exponents


def test_an_input_with_other_steps_is_changed_on_the_way(small):
    other = Quantization(1.0, 32, exponents=(-2, -2))
    found = small(
        [
            conv("a", "image", 3),
            conv("b", "image", 3),
            conv("d", "a", 2, other.exponents),
            Concat(("a", "b"), "ab"),
            conv("c", "ab", 3, BOTH.exponents),
        ],
        {"c": BOTH, "d": other},
        {"a": (3, 2), "b": (3, 1), "c": (3, 2), "d": (2, 2)},
    )
    (between,) = [each for each in found.operations if isinstance(each, Affine)]
    assert (between.input, between.gain) == ("a", (1.0, 1.0))
    assert found.quantizations[between.output].exponents == (-4, -6)
    (joined,) = [each for each in found.operations if isinstance(each, Concat)]
    assert joined.inputs == (between.output, "b")


@pytest.mark.parametrize("also_read", [False, True])
def test_a_map_is_changed_before_it_is_upsampled(small, also_read):
    """A quarter of the pixels, unless somebody reads the large map as it is."""
    other = Quantization(1.0, 32, exponents=(-2, -2))
    found = small(
        [
            conv("a", "image", 3),
            conv("b", "image", 3),
            conv("d", "a", 2, other.exponents),
            Upsample("a", "large", like="b"),
            *([conv("e", "large", 2, other.exponents)] if also_read else []),
            Concat(("large", "b"), "ab"),
            conv("c", "ab", 3, BOTH.exponents),
        ],
        {"c": BOTH, "d": other, "e": other},
        {"a": (3, 2), "b": (3, 1), "c": (3, 2), "d": (2, 2), "e": (2, 2)},
    )
    (between,) = [each for each in found.operations if isinstance(each, Affine)]
    assert between.input == ("large" if also_read else "a")
    (upsample,) = [each for each in found.operations if isinstance(each, Upsample)]
    (joined,) = [each for each in found.operations if isinstance(each, Concat)]
    assert joined.inputs == ("large@ab", "b")
    assert ("large" in found.quantizations) == also_read
    assert found.quantizations["large@ab"].exponents == (-4, -6)
    if not also_read:
        assert (upsample.input, upsample.output) == (between.output, "large@ab")


def test_one_map_upsampled_twice_gets_the_steps_of_both_places(small):
    other = Quantization(1.0, 32, exponents=(-2, -2))
    four = Quantization(1.0, 32, exponents=(-4, -6, -3, -5))
    found = small(
        [
            conv("a", "image", 3),
            conv("d", "a", 2, other.exponents),
            Upsample("a", "u", factor=(2, 2)),
            Upsample("a", "v", factor=(2, 2)),
            Concat(("u", "v"), "uv"),
            Concat(("a", "a"), "aa"),
            conv("c", "uv", 4, four.exponents),
            conv("e", "aa", 4, four.exponents),
        ],
        {"c": four, "d": other, "e": four},
        {"a": (3, 2), "c": (4, 2), "d": (2, 2), "e": (4, 2)},
    )
    for joined in (each for each in found.operations if isinstance(each, Concat)):
        parts = [found.quantizations[name].exponents for name in joined.inputs]
        assert parts == [(-4, -6), (-3, -5)]
    for upsample in (each for each in found.operations if isinstance(each, Upsample)):
        assert found.quantizations[upsample.input] == found.quantizations[upsample.output]


def test_a_reader_that_does_not_know_steps_keeps_the_map_plain(small):
    found = small(
        [
            conv("a", "image", 3),
            conv("c", "a", 2, LEFT.exponents),
            Lookup("a", "t", "tanh"),
        ],
        {"c": LEFT},
        {"a": (3, 2), "c": (2, 2)},
    )
    assert found.quantizations["a"].exponents == ()
    reads = next(each.input for each in found.operations if getattr(each, "layer", "") == "c")
    assert found.quantizations[reads] == LEFT


def test_a_network_as_trained_is_deployed_as_trained():
    """Depthwise and pointwise convolutions, a sum: what PyTorch computes, up to single steps."""
    from lbwdet.deploy.lower.building import Building
    from lbwdet.deploy.lower.fusions import FUSIONS
    from lbwdet.deploy.runtime.context import LayerNumbers, Run
    from lbwdet.layers import calibration, quantize_

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 8, 3, padding=1)
            self.depth = nn.Conv2d(8, 8, 3, padding=1, groups=8)
            self.point = nn.Conv2d(8, 8, 1)
            self.last = nn.Conv2d(16, 4, 1)
            self.act = nn.SiLU()

        def forward(self, x):
            x = self.act(self.first(x))
            y = x + self.act(self.point(self.act(self.depth(x))))
            return self.last(torch.cat([x, y], 1))

    torch.manual_seed(0)
    net = Net()
    with torch.no_grad():
        net.first.weight *= torch.logspace(-2, 1, 8).reshape(-1, 1, 1, 1)
    quantize_(
        net, dict(bit_width=4, code="dense", granularity="channel"), dict(granularity="channel")
    )
    x = torch.randint(0, 256, (1, 3, 16, 24)).float()
    with calibration(net), torch.no_grad():
        net.eval()(x)
    building = Building(net, FUSIONS)
    (output,) = building.trace(lambda model, x: model(x), x, "image")
    q = Quantization(1.0)
    trained = building.activations
    layers = {name: LayerNumbers.integer(weight) for name, weight in building.weights.items()}
    from lbwdet.deploy.calibration.steps import between, hand_on

    plain = Program(tuple(building.operations), {})
    quantizations = {"image": q}
    for operation in plain.operations:
        if isinstance(operation, Conv) and operation.input_exponents:
            quantizations[operation.input] = trained[operation.layer]
    channels = dict.fromkeys((each.written for each in plain.operations), 8) | {"image": 3}
    for operation in plain.operations:
        quantizations.setdefault(operation.written, Quantization(0.05, 128))
    del quantizations[output]
    quantizations = hand_on(plain, quantizations, channels, {}, takes_steps(plain))
    whole = between(Program(plain.operations, quantizations), channels)
    run = Run(whole.quantizations, layers, np.zeros((1, 1, 3), np.uint8))
    run.values["image"] = x.permute(0, 2, 3, 1).numpy().astype(np.uint8)
    for operation in whole.operations:
        run.values[operation.written] = operation.compute(run)
    with torch.no_grad():
        wanted = net(x).permute(0, 2, 3, 1).numpy()
    difference = np.abs(run.values[output] - wanted)
    assert difference.mean() < 0.01 * np.abs(wanted).mean()
