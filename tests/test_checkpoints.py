"""Reading checkpoints of all kinds; that detectors refuse misfits: measuring/test_detectors.py."""

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from torch import nn

from lbwdet.checkpoints import check_fit, latest_checkpoint, read_checkpoint
from lbwdet.errors import CheckpointError

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.count": torch.tensor(3)}


def save(path, content):
    torch.save(content, path)
    return path


def equal(first, second):
    return list(first) == list(second) and all(torch.equal(first[k], second[k]) for k in first)


def test_training_checkpoints_bare_states_and_wrapped_ones(tmp_path):
    hub = dict(log_scalars=dict(loss=HistoryBuffer([1.0, np.float32(2)], [1, 1])))
    full = dict(state_dict=STATE, meta=dict(epoch=3), optimizer={}, message_hub=hub)
    state, meta = read_checkpoint(save(tmp_path / "full.pth", full))
    assert equal(state, STATE) and meta == dict(epoch=3)
    state, meta = read_checkpoint(save(tmp_path / "bare.pth", STATE))
    assert equal(state, STATE) and meta == {}
    wrapped = dict(state_dict={f"module.{key}": value for key, value in STATE.items()}, meta=None)
    state, meta = read_checkpoint(str(save(tmp_path / "wrapped.pth", wrapped)))
    assert equal(state, STATE) and meta == {}


def test_second_values_of_mmdetection_2(tmp_path):
    seconds = {f"ema_{key.replace('.', '_')}": value + 1 for key, value in STATE.items()}
    for state in (STATE | seconds, {f"module.{key}": v for key, v in (STATE | seconds).items()}):
        assert equal(read_checkpoint(save(tmp_path / "ema.pth", state))[0], STATE)
    other = STATE | {"ema_b_weight": torch.ones(1)}
    assert equal(read_checkpoint(save(tmp_path / "ema.pth", other))[0], other)


def test_a_missing_file_names_those_beside_it(tmp_path):
    with pytest.raises(CheckpointError, match=r"epoch_2\.pth: no such checkpoint$"):
        read_checkpoint(tmp_path / "epoch_2.pth")
    (tmp_path / "epoch_1.pth").touch()
    (tmp_path / ".epoch_2-abc.pth").touch()  # what a killed process leaves
    with pytest.raises(CheckpointError, match=r"no such checkpoint; this folder has epoch_1\.pth$"):
        read_checkpoint(tmp_path / "epoch_2.pth")


class Foreign:
    pass


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds no weights"),
        ({}, "holds no weights"),
        (dict(state_dict={}), "holds no weights"),
        (dict(epoch=3, model=1), "epoch, model are not tensors"),
        (dict(state_dict=STATE, meta=Foreign()), "could run code"),
        (dict(state_dict={"a": torch.tensor([1, float("inf")])}), "NaN or infinite values in a;"),
        ({1: torch.zeros(2), ("a",): torch.zeros(2)}, r"keys are names of parameters, not 1, \('a"),
        ({"a": torch.eye(2).to_sparse()}, "a are sparse, quantized or otherwise"),
        ({"a": torch.eye(2).to_sparse_csr()}, "a are sparse, quantized or otherwise"),
        ({"a": torch.zeros(2, device="meta")}, "a are sparse, quantized or otherwise"),
        ({"a": torch.zeros(1).expand(1 << 40)}, "a are sparse, quantized or otherwise"),
        (dict(state_dict=STATE, meta=[1]), r"'meta' is no dict but \[1\]"),
        (dict(state_dict=STATE, meta=dict(lbwdet=[1])), r"its meta\['lbwdet'\] is no dict by name"),
        (dict(state_dict=STATE, meta=dict(lbwdet={1: 2})), r"is no dict by name but \{1: 2\}"),
        (dict(state_dict=STATE, meta=dict(lbwdet_scheme="bcgd")), "is no dict by name but 'bcgd'"),
        (
            dict(state_dict=STATE, meta=dict(lbwdet=dict(quant="4bit"))),
            r"its meta\['lbwdet'\]\['quant'\] is no dict by name but '4bit'",
        ),
    ],
)
def test_what_is_no_checkpoint(tmp_path, content, message):
    with pytest.raises(CheckpointError, match=rf"x\.pth: .*{message}"):
        read_checkpoint(save(tmp_path / "x.pth", content))


@pytest.mark.parametrize("kept", [0, 1, 10, 0.5, 0.9, -1])
def test_every_truncation_is_noticed(tmp_path, kept):
    whole = save(tmp_path / "whole.pth", dict(state_dict={"a": torch.zeros(10_000)})).read_bytes()
    path = tmp_path / "cut.pth"
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(CheckpointError, match=r"cut\.pth: .*(empty|truncated|not a checkpoint)"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n" * 9, b"<html>not found</html>", b"\x80"])
def test_other_files(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x\.pth: .*(corrupt|not a checkpoint)"):
        read_checkpoint(tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        read_checkpoint(tmp_path)  # a folder


def test_fit_names_keys_and_shapes():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    state = model.state_dict()
    check_fit(model, state, "x.pth")
    state["0.weight"] = torch.zeros(4, 2)
    state["2.weight"] = state.pop("1.bias")
    with pytest.raises(CheckpointError) as error:
        check_fit(model, state, "x.pth")
    lines = str(error.value).splitlines()
    assert lines[:4] == [
        "x.pth: does not fit the model of the config (7 keys):",
        "  1 missing from the checkpoint: 1.bias",
        "  1 unknown to the model: 2.weight",
        "  1 of another shape: 0.weight (checkpoint (4, 2), model (3, 2))",
    ]
    assert "--partial" in lines[4]


def test_optional_keys_may_be_missing():
    model = nn.Linear(2, 3)
    state = {"weight": model.weight.detach()}
    check_fit(model, state, "x.pth", optional={"bias"})
    with pytest.raises(CheckpointError, match=r"1 missing from the checkpoint: weight"):
        check_fit(model, {}, "x.pth", optional={"bias"})


def test_long_lists_are_cut():
    with pytest.raises(CheckpointError, match=r"keys.7.weight, and 2 more") as error:
        check_fit(nn.Module(), {f"keys.{n}.weight": torch.zeros(1) for n in range(10)}, "x")
    assert "10 unknown to the model" in str(error.value)


def test_the_latest_checkpoint_is_the_one_named(tmp_path):
    assert latest_checkpoint(tmp_path / "absent") is None
    assert latest_checkpoint(tmp_path) is None
    for name in ("epoch_9.pth", "epoch_10.pth", "best_mAP_epoch_11.pth", ".epoch_12-x.pth"):
        (tmp_path / name).touch()
    pointer = tmp_path / "last_checkpoint"
    pointer.write_text(f"{tmp_path}/epoch_9.pth\n")
    assert latest_checkpoint(tmp_path) == tmp_path / "epoch_9.pth"
    # Killed while it was written; then: the folder was moved; then: never written.
    pointer.write_text("")
    assert latest_checkpoint(tmp_path) == tmp_path / "epoch_10.pth"
    pointer.write_text("/before/it/was/moved/epoch_9.pth")
    assert latest_checkpoint(tmp_path) == tmp_path / "epoch_9.pth"
    pointer.unlink()
    assert latest_checkpoint(str(tmp_path)) == tmp_path / "epoch_10.pth"


def test_a_copied_folder_goes_on_from_its_own(tmp_path):
    original, copy = tmp_path / "original", tmp_path / "copy"
    for folder in (original, copy):
        folder.mkdir()
        (folder / "epoch_2.pth").touch()
        (folder / "last_checkpoint").write_text(str(original / "epoch_2.pth"))
    assert latest_checkpoint(copy) == copy / "epoch_2.pth"
    (copy / "epoch_2.pth").rename(copy / "epoch_1.pth")
    assert latest_checkpoint(copy) == copy / "epoch_1.pth"
    (copy / "epoch_1.pth").unlink()  # checkpoints of this run are written elsewhere
    assert latest_checkpoint(copy) == original / "epoch_2.pth"


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"a" * 5_000_000, b"a" * 300, b"epoch_2.pth\n\x1b", b"\0", b"/"]
)
def test_a_damaged_pointer_counts_as_none(tmp_path, content):
    (tmp_path / "last_checkpoint").write_bytes(content)
    assert latest_checkpoint(tmp_path) is None
    (tmp_path / "epoch_2.pth").touch()
    assert latest_checkpoint(tmp_path) == tmp_path / "epoch_2.pth"
