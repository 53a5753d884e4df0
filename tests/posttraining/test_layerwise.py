import copy
import dataclasses

import pytest
import torch
from mmcv.ops import ModulatedDeformConv2dPack
from torch import nn

from lbwdet.errors import ConfigError, LBWError
from lbwdet.layers import quantize_, quantized_layers
from lbwdet.posttraining import PostTraining, Search, post_train
from lbwdet.quantizers import NonFiniteWeightError, build_quantizer

FOUR_BIT = dict(bit_width=4, code="dense")


def low_bit(net, **weight):
    return quantize_(copy.deepcopy(net), {**FOUR_BIT, **weight})


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
@pytest.mark.parametrize("code, bit_width", [("dense", 4), ("paper", 6), ("two-term", 6)])
def test_far_nearer_than_the_nearest_levels(net, images, distance, code, bit_width, granularity):
    low = low_bit(net, code=code, bit_width=bit_width, granularity=granularity)
    before = distance(net, low)
    result = post_train(low, images)
    assert distance(net, low) < 0.1 * before
    assert [layer.name for layer in result.layers] == ["stem", "depthwise", "up", "shared", "last"]
    assert result.inputs == 6
    for name, layer in quantized_layers(low).items():
        if name != "unused":
            assert torch.equal(layer.fake_quantized_weight(), layer.weight), name
    assert torch.equal(low.unused.weight, net.unused.weight)


def test_same_for_any_number_of_threads(net, images):
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        low = low_bit(net)
        results.append((post_train(low, images), low.state_dict()))
        assert torch.get_num_threads() == threads
    for result, state in results[1:]:
        assert result == results[0][0]
        assert all(torch.equal(value, results[0][1][key]) for key, value in state.items())


@pytest.mark.parametrize("norm", [True, False], ids=["norm", "bias"])
@pytest.mark.parametrize("largest", [10_000, 20], ids=["whole", "blocks"])
def test_transposed_convolutions_share_scales_between_groups(norm, largest, monkeypatch):
    monkeypatch.setattr("lbwdet.posttraining.blocks.LARGEST", largest)
    up = nn.ConvTranspose2d(12, 6, 4, 2, 1, groups=3, bias=not norm)
    up.weight.data.mul_(torch.logspace(-2, 1, 12)[:, None, None, None])
    net = nn.Sequential(up, *([nn.BatchNorm2d(6)] if norm else [])).eval()
    images = [torch.randn(2, 12, 6, 6).cumsum(-1) for _ in range(4)]
    low = low_bit(net, granularity="channel")
    (result,) = post_train(low, images).layers
    assert result.after < result.before
    assert low[0].quantized_weight().scale.numel() == 2


@pytest.mark.parametrize(
    "layer, shape", [(nn.Conv3d(2, 4, 3), (1, 2, 6, 6, 6)), (nn.Conv1d(2, 4, 3), (1, 2, 30))]
)
def test_convolutions_of_other_dimensions(layer, shape):
    low = low_bit(nn.Sequential(layer).eval())
    (result,) = post_train(low, [torch.randn(shape).cumsum(-1) for _ in range(4)]).layers
    assert result.after < result.before


class Quiet(nn.Module):
    """Its last layers read nothing once the first one has low bits."""

    def __init__(self, of_low_bit):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 4)
        self.of_low_bit = of_low_bit

    def forward(self, x):
        x = self.first(x)
        weight = self.first.weight
        quiet = torch.equal(weight, build_quantizer(2).fake_quantize(weight))
        if quiet and self.of_low_bit == "no call":
            return x
        return self.last(self.norm(x[:0] if quiet else x))


@pytest.mark.parametrize("of_low_bit", ["no call", "no rows"])
@pytest.mark.parametrize("largest", [10_000, 4], ids=["whole", "blocks"])
def test_layers_that_read_nothing_at_low_bits_keep_the_nearest_levels(
    of_low_bit, largest, monkeypatch
):
    monkeypatch.setattr("lbwdet.posttraining.blocks.LARGEST", largest)
    net = Quiet(of_low_bit).eval()
    low = low_bit(net, bit_width=2)
    first, last = post_train(low, [torch.randn(16, 8) for _ in range(3)]).layers
    assert first.after is not None and (last.before, last.after) == (None, None)
    assert torch.equal(low.last.weight, low.last.quantizer.fake_quantize(net.last.weight))
    assert torch.equal(low.last.bias, net.last.bias)
    assert torch.equal(low.norm.running_mean, net.norm.running_mean)


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
        self.last = nn.Linear(32, 8)

    def forward(self, x):
        x = x.flatten(2).mT
        return self.last(self.attention(x, x, x)[0])


class Deformed(nn.Module):
    """With a deformable convolution, which reads each of several levels of the map."""

    def __init__(self, levels):
        super().__init__()
        self.levels = levels
        self.stem = nn.Conv2d(32, 16, 3, padding=1)
        self.deformed = ModulatedDeformConv2dPack(16, 16, 3, padding=1)
        self.last = nn.Conv2d(16, 8, 1)

    def forward(self, x):
        x = self.stem(x).relu()
        maps = [x[..., ::step, ::step] for step in (1, 2, 4)[: self.levels]]
        return [self.last(self.deformed(each).relu()) for each in maps]


@pytest.mark.parametrize(
    "net", [Attending(), Deformed(1), Deformed(3)], ids=["attention", "deformable", "levels"]
)
def test_layers_that_are_asked_what_they_read_are_shared_by_threads(net):
    images = [torch.randn(1, 32, 20, 20) for _ in range(12)]
    results = []
    for threads in (1, 2, 2):
        torch.set_num_threads(threads)
        low = low_bit(net.eval())
        results.append((post_train(low, images), low.state_dict()))
        assert [name for name, _ in low.named_parameters()] == [
            name for name, _ in net.named_parameters()
        ]
    for result, state in results[1:]:
        assert result == results[0][0]
        assert all(torch.equal(value, results[0][1][key]) for key, value in state.items())


@pytest.mark.parametrize(
    "changes",
    [
        dict(compensate=False),
        dict(norms=False),
        dict(real_scales=False),
        dict(search=Search(feedback=False, sweeps=0)),
    ],
    ids=str,
)
def test_each_ingredient_can_be_switched_off(net, images, changes):
    whole, part = low_bit(net), low_bit(net)
    post_train(whole, images)
    post_train(part, images, settings=PostTraining(**changes))
    assert not torch.equal(whole.last.weight, part.last.weight)


def test_wide_layers_go_by_blocks(net, images, distance, monkeypatch):
    low = low_bit(net)
    before = distance(net, low)
    monkeypatch.setattr("lbwdet.posttraining.blocks.LARGEST", 24)
    post_train(low, images)
    assert distance(net, low) < 0.1 * before


def test_activation_quantizers_are_calibrated_on_the_way(net, images, distance):
    low = quantize_(copy.deepcopy(net), FOUR_BIT, activation=dict(bit_width=8))
    post_train(low, images)
    called = [low.get_submodule(name) for name in ("stem", "depthwise", "up", "shared", "last")]
    assert all(layer.input_quantizer.is_calibrated for layer in called)
    plain = low_bit(net)
    post_train(plain, images)
    assert distance(net, low) < 2 * distance(net, plain) + 0.01


def test_an_interrupted_run_goes_on(net, images):
    whole, stopped = low_bit(net), low_bit(net)
    post_train(whole, images)
    done = []

    class Stop(Exception):
        pass

    def until_up(name, index, number, layer):
        done.append(name)
        if name == "up":
            raise Stop

    with pytest.raises(Stop):
        post_train(stopped, images, on_module=until_up)
    assert all(layer.quantizer is not None for layer in quantized_layers(stopped).values())
    rest = post_train(stopped, images, floating=net, done=done)
    assert [layer.name for layer in rest.layers] == ["shared", "last"]
    for key, value in whole.state_dict().items():
        assert torch.equal(value, stopped.state_dict()[key]), key


def test_progress_is_told(net, images):
    told = []
    post_train(low_bit(net), images, on_module=lambda *each: told.append(each))
    assert [index for _, index, _, _ in told] == list(range(1, 8))
    assert {number for _, _, number, _ in told} == {7}
    assert [layer.name for *_, layer in told if layer] == [
        "stem",
        "depthwise",
        "up",
        "shared",
        "last",
    ]


def test_more_inputs_than_memory_allows_are_taken_evenly(net, images):
    assert post_train(low_bit(net), images, settings=PostTraining(waiting_bytes=1)).inputs == 1


def test_a_layer_that_is_no_matrix_keeps_the_nearest_levels():
    class Odd(nn.Conv2d):
        def forward(self, x):
            return self._conv_forward(x, self.weight.tanh(), self.bias)

    net = nn.Sequential(Odd(3, 4, 3), nn.Conv2d(4, 4, 1)).eval()
    low = low_bit(net)
    nearest = low[0].fake_quantized_weight().detach()
    odd, plain = post_train(low, [torch.randn(1, 3, 8, 8)]).layers
    assert (odd.before, odd.after) == (None, None) and plain.after is not None
    assert torch.equal(low[0].weight, nearest)


@pytest.mark.parametrize("value", [0.0, 2.5])
def test_constant_inputs(net, value):
    low = low_bit(net)
    post_train(low, [torch.full((1, 3, 16, 16), value)])
    assert all(bool(tensor.isfinite().all()) for tensor in low.state_dict().values())


class TestBadInput:
    def test_not_quantized(self, net, images):
        with pytest.raises(ConfigError, match="SmallNet has no quantized layer; call quantize_"):
            post_train(net, images)

    def test_no_inputs(self, net):
        with pytest.raises(ConfigError, match="no inputs: post-training needs one image or more"):
            post_train(low_bit(net), [])

    def test_training_mode(self, net, images):
        with pytest.raises(ConfigError, match=r"in training mode; call eval\(\) first"):
            post_train(low_bit(net).train(), images)

    def test_solvers_whose_projection_moves_levels(self, net, images):
        with pytest.raises(ConfigError, match=r"^stem: 4 bits with solver='threshold'"):
            post_train(low_bit(net, solver="threshold"), images)

    def test_nan_in_a_weight(self, net, images):
        low = low_bit(net)
        low.depthwise.weight.data[3, 0, 0, 0] = torch.nan
        with pytest.raises(NonFiniteWeightError, match=r"^depthwise: 1 of 144 weights are NaN"):
            post_train(low, images)

    def test_nan_in_an_image(self, net, images):
        images[2][0, 0, 4, 4] = torch.nan
        with pytest.raises(LBWError, match=r"^stem: its inputs are NaN or infinite"):
            post_train(low_bit(net), images)


def test_settings_are_plain_data():
    assert dataclasses.asdict(PostTraining())["search"]["sweeps"] == 4
