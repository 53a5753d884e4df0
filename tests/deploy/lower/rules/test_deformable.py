import numpy as np
import pytest
import torch
from mmcv.ops import (
    DeformConv2d,
    DeformConv2dPack,
    ModulatedDeformConv2d,
    ModulatedDeformConv2dPack,
    deform_conv2d,
)
from torch import nn

from lbwdet.deploy.calibration.readers import add_requantize
from lbwdet.deploy.lower import lower
from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.fusions import FUSIONS
from lbwdet.deploy.runtime.context import LayerNumbers, Run
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.deformed_samples import DeformedSamples
from lbwdet.deploy.runtime.operations.refold import Refold
from lbwdet.deploy.runtime.program import Program
from lbwdet.errors import ConfigError
from lbwdet.layers import calibration, quantize_

SETTINGS = [
    dict(kernel_size=3, padding=1),
    dict(kernel_size=3, padding=1, groups=4),
    dict(kernel_size=3, padding=1, deform_groups=4),
    dict(kernel_size=3, padding=2, stride=2, dilation=2, groups=2, deform_groups=4),
    dict(kernel_size=1, groups=4, deform_groups=2),
]


def net(kind, **settings):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), kind(8, 12, **settings), nn.BatchNorm2d(12), nn.ReLU()]
    found = nn.Sequential(*layers).eval()
    found[1].conv_offset.weight.data.normal_(0, 0.3)
    found[1].conv_offset.bias.data.normal_()
    return found


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("kind", [DeformConv2dPack, ModulatedDeformConv2dPack])
@pytest.mark.parametrize("fusions", [FUSIONS, ()], ids=["fused", "plain"])
def test_packs(lowering, kind, settings, fusions):
    part = lowering.check(lambda n, x: n(x), net=net(kind, **settings), fusions=fusions)
    operations = [operation for operation in part.operations if isinstance(operation, Conv)]
    samples = next(each for each in part.operations if isinstance(each, DeformedSamples))
    assert samples.modulated == (kind is ModulatedDeformConv2dPack)
    assert [each.kernel for each in operations][-1] == (1, 1)
    if fusions:
        assert [type(each).__name__ for each in part.operations] == [
            *("Conv", "Conv", "DeformedSamples", "Conv")
        ]
        assert operations[-1].relu


def of_a_finer_map(modulated):
    """As DyHead does: offsets of a map, for another of half its size."""
    torch.manual_seed(0)
    kind = ModulatedDeformConv2d if modulated else DeformConv2d
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 27, 1), kind(4, 5, 3, padding=1)]

    def compute(n, x):
        x = n[0](x)
        both = n[1](x)
        coarse = nn.functional.avg_pool2d(x, 2)
        offset = both[:, :18]
        return n[2](coarse, offset, both[:, 18:].sigmoid()) if modulated else n[2](coarse, offset)

    return nn.ModuleList(layers).eval(), compute


def test_offsets_of_a_finer_map(lowering):
    layers, compute = of_a_finer_map(modulated=True)
    part = lowering.check(compute, torch.randn(1, 3, 8, 8), net=layers)
    (refold,) = [each for each in part.operations if isinstance(each, Refold)]
    assert refold.parts == (18, 9)


def test_plain_offsets_of_a_finer_map_are_refused(lowering):
    layers, compute = of_a_finer_map(modulated=False)
    with pytest.raises(ConfigError, match=r"with offsets for \[8, 8\] pixels"):
        lowering.part(compute, torch.randn(1, 3, 8, 8), net=layers)


def test_maps_smaller_than_the_kernel(lowering):
    torch.manual_seed(0)
    layers = nn.ModuleList(
        [nn.Conv2d(3, 4, 3), nn.Conv2d(4, 18, 1), DeformConv2d(4, 5, 3, padding=1)]
    )

    def compute(n, x):
        x = n[0](x)
        return n[2](x, n[1](x))

    lowering.check(compute, torch.randn(1, 3, 4, 4), net=layers)


class Cut(nn.Module):
    """Offsets and logits of one convolution."""

    def __init__(self):
        super().__init__()
        self.offset = nn.Conv2d(3, 27, 3, padding=1)
        self.conv = ModulatedDeformConv2d(3, 4, 3, padding=1)


def cut(net, x):
    """As DyHead has them."""
    both = net.offset(x)
    return net.conv(x, both[:, :18], both[:, 18:].sigmoid())


def swapped(net, x):
    both = net.offset(x)
    return net.conv(x, both[:, 9:], both[:, :9].sigmoid())


def other_function(net, x):
    both = net.offset(x)
    return net.conv(x, both[:, :18], both[:, 18:].relu())


def other_size(net, x):
    return deform_conv2d(x, net.offset(x)[:, :18], net.conv.weight, 2, 1)


def computed_weight(net, x):
    return deform_conv2d(x, net.offset(x)[:, :18], x)


def test_offsets_and_logits_that_are_slices(lowering):
    part = lowering.check(cut, net=Cut().eval())
    assert [type(each).__name__ for each in part.operations] == ["Conv", "DeformedSamples", "Conv"]


@pytest.mark.parametrize(
    ("compute", "problem"),
    [
        (swapped, "with a mask that is not the sigmoid of the channels behind"),
        (other_function, "with a mask that is not the sigmoid of the channels behind"),
        (other_size, r"with offsets for \[16, 16\] pixels; .* \[8, 8\]"),
        (computed_weight, "with a weight that depends on the image"),
    ],
)
def test_refused(lowering, compute, problem):
    with pytest.raises(ConfigError, match=f"cannot be lowered: deform_conv2d {problem}"):
        lowering.part(compute, net=Cut().eval())


def backbone(kind, **settings):
    """Of three deformable convolutions, in the last stage."""
    dcn = dict(type=kind, **settings)
    return dict(
        backbone=dict(
            depth=50, base_channels=4, dcn=dcn, stage_with_dcn=(False, False, False, True)
        ),
        neck=dict(in_channels=[16, 32, 64, 128]),
    )


def move(model):
    """Offsets begin as zeros."""
    for name, parameter in model.named_parameters():
        if ".conv_offset." in name:
            parameter.data.normal_(0, 0.2)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("DCN", dict(deform_groups=1)), ("DCNv2", dict(deform_groups=4))],
)
def test_whole_detectors(whole, tiny, two_stage, kind, settings):
    model = two_stage(model=backbone(kind, **settings))
    move(model)
    lowered = lower(model, tiny.pipeline)
    samples = [o for o in lowered.program.operations if isinstance(o, DeformedSamples)]
    assert len(samples) == 3 and {each.modulated for each in samples} == {kind == "DCNv2"}
    assert {lowered.weights[name].bit_width for name in lowered.weights} == {4}
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)


@pytest.mark.parametrize("kind", [DeformConv2dPack, ModulatedDeformConv2dPack])
def test_the_map_is_rounded_as_in_training_and_its_samples_are_not(kind):
    model = net(kind, kernel_size=3, padding=1)
    model.insert(1, nn.ReLU())
    quantize_(model, dict(bit_width=4), dict(bit_width=4)).eval()
    x = torch.randn(2, 3, 16, 16)
    with calibration(model), torch.no_grad():
        model(x)
    # Training rounds what the offsets are made from twice: with such a step, that is once.
    for layer in (model[2], model[2].conv_offset):
        layer.input_quantizer.alpha.data.fill_(0.125)
    building = Building(model, FUSIONS)
    (output,) = building.trace(lambda n, x: n(x), x, "input")
    samples = next(o for o in building.operations if isinstance(o, DeformedSamples))
    wanted = building.activations[samples.output]
    assert wanted.maximum == 15 and "2" not in building.activations
    program = add_requantize(Program(tuple(building.operations), {}), building.activations)
    layers = {name: LayerNumbers.real(weight) for name, weight in building.weights.items()}
    run = Run(program.quantizations, layers, np.zeros((1, 1, 3), np.uint8))
    run.values["input"] = x.permute(0, 2, 3, 1).numpy()
    for operation in program.operations:
        run.values[operation.written] = operation.compute(run)
    (read,) = (o.input for o in program.operations if isinstance(o, DeformedSamples))
    assert program.quantizations[read] == wanted
    assert samples.output not in program.quantizations
    with torch.no_grad():
        expected = model(x)
    found = torch.from_numpy(run.values[output]).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)
