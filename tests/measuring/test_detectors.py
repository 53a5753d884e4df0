import logging

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger

from lbwdet.checkpoints import read_checkpoint
from lbwdet.datasets.classes import config_classes
from lbwdet.errors import CheckpointError, ConfigError
from lbwdet.layers import UncalibratedError, quantized_layers
from lbwdet.measuring.detectors import build_detector


def build(tiny, checkpoint=None, config=None):
    return build_detector(Config.fromfile(config or tiny.float_config), checkpoint)


def altered(tiny, path, change):
    """The tiny checkpoint with its state dict changed, at ``path``."""
    checkpoint = torch.load(tiny.checkpoint, weights_only=True)
    change(checkpoint["state_dict"])
    torch.save(checkpoint, path)
    return path


def test_loads_the_checkpoint_in_eval_mode(tiny):
    model = build(tiny, tiny.checkpoint)
    state = torch.load(tiny.checkpoint, weights_only=True)["state_dict"]
    assert not model.training
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    assert model.dataset_meta["classes"][0] == "cat"


def test_hooks_of_the_config_quantize(tiny):
    assert not quantized_layers(build(tiny))
    quantized = quantized_layers(build(tiny, tiny.checkpoint, tiny.six_bit_config))
    assert len(quantized) > 20
    assert {layer.quantizer.bit_width for layer in quantized.values()} == {6}


def test_wrapped_and_bare_state_dicts_load(tiny, tmp_path):
    state = torch.load(tiny.checkpoint, weights_only=True)["state_dict"]
    torch.save({f"module.{key}": value for key, value in state.items()}, tmp_path / "ddp.pth")
    model = build(tiny, tmp_path / "ddp.pth")
    assert torch.equal(model.state_dict()["backbone.conv1.weight"], state["backbone.conv1.weight"])
    assert model.dataset_meta["classes"] == config_classes(model.cfg, ("test",))


def test_missing_file_names_what_lies_beside_it(tiny):
    with pytest.raises(CheckpointError, match=r"epoch_9.pth: no such checkpoint.*has epoch_1.pth"):
        build(tiny, tiny.folder / "epoch_9.pth")


def test_truncated_checkpoint(tiny, tmp_path):
    data = (tiny.folder / "epoch_1.pth").read_bytes()
    path = tmp_path / "cut.pth"
    for length in (len(data) // 2, len(data) - 100, 1000):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=r"cut\.pth.*(truncated or corrupt|not a check)"):
            read_checkpoint(path)
    path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="empty"):
        read_checkpoint(path)


def test_no_checkpoint_at_all(tmp_path):
    path = tmp_path / "a.pth"
    path.write_text("no checkpoint at all, but a text of some length\n" * 9)
    with pytest.raises(CheckpointError, match=r"not a checkpoint|corrupt"):
        read_checkpoint(path)
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="holds no weights"):
        read_checkpoint(path)
    torch.save(dict(epoch=3), path)
    with pytest.raises(CheckpointError, match="epoch are not tensors"):
        read_checkpoint(path)


class Payload:
    pass


def test_foreign_objects_are_not_unpickled(tmp_path):
    torch.save(dict(state_dict={}, meta=Payload()), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="could run code"):
        read_checkpoint(tmp_path / "a.pth")


def test_keys_that_do_not_fit_are_listed(tiny, tmp_path):
    def change(state):
        state["strange.weight"] = torch.zeros(1)
        state["backbone.conv1.weight"] = torch.zeros(9, 3, 7, 7)
        for key in [key for key in state if key.startswith("rpn_head")]:
            del state[key]

    path = altered(tiny, tmp_path / "a.pth", change)
    with pytest.raises(CheckpointError) as error:
        build(tiny, path)
    message = str(error.value)
    assert "6 missing from the checkpoint: rpn_head.rpn_cls.bias" in message
    assert "1 unknown to the model: strange.weight" in message
    assert "backbone.conv1.weight (checkpoint (9, 3, 7, 7), model (4, 3, 7, 7))" in message


def test_long_lists_are_cut(tiny, tmp_path):
    path = altered(
        tiny, tmp_path / "a.pth", lambda state: [state.pop(key) for key in list(state)[3:]]
    )
    with pytest.raises(CheckpointError, match=r"(\S+, ){8}and \d+ more"):
        build(tiny, path)


def test_weights_that_are_not_finite_are_refused(tiny, tmp_path):
    def change(state):
        state["roi_head.bbox_head.fc_cls.bias"][1] = float("nan")

    path = altered(tiny, tmp_path / "a.pth", change)
    with pytest.raises(CheckpointError, match=r"NaN or infinite values in roi_head\S+fc_cls\.bias"):
        build(tiny, path)


def test_warns_about_another_quantization(tiny, tmp_path):
    checkpoint = torch.load(tiny.checkpoint, weights_only=True)
    checkpoint["meta"]["lbwdet"] = dict(quant={"backbone.conv1": "2bit paper exact tensor"})
    torch.save(checkpoint, tmp_path / "a.pth")
    messages = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    build(tiny, tmp_path / "a.pth")
    build(tiny, tiny.checkpoint)  # says nothing about its training, so there is nothing to warn of
    logger.removeHandler(handler)
    assert len(messages) == 1
    assert "1 layer was trained at another quantization" in messages[0]
    assert "backbone.conv1 (2bit paper exact tensor, now float)" in messages[0]


def test_activation_quantizers_that_saw_no_data(tiny):
    cfg = Config.fromfile(tiny.float_config)
    quant = dict(weight=dict(bit_width=4), activation=dict(bit_width=8))
    cfg.custom_hooks = [dict(type="QuantizeHook", quant=quant)]
    message = r"epoch_1\.pth: holds none .* no data\. Train from it"
    with pytest.raises(UncalibratedError, match=message):
        build_detector(cfg, tiny.checkpoint)


def test_a_config_without_a_model(tmp_path):
    with pytest.raises(ConfigError, match="no 'model' in this config"):
        build_detector(Config(dict(default_scope="mmdet")))
