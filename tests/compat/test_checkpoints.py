"""MMEngine's checkpoints load with weights_only=True; hostile files do not."""

import builtins
import io
import os
import pickle

import numpy as np
import pytest
import torch
from mmengine.hooks import CheckpointHook
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 1)

    def forward(self, x, mode="tensor"):
        return {"loss": self.linear(torch.stack(list(x))).square().mean()}


def make_runner(folder, name, epochs, **settings):
    runner = Runner(
        Line(),
        str(folder),
        train_dataloader=dict(
            dataset=[dict(x=torch.ones(2))] * 4,
            batch_size=2,
            sampler=dict(type="DefaultSampler", shuffle=False),
        ),
        optim_wrapper=dict(optimizer=dict(type="AdamW", lr=0.1)),
        param_scheduler=[dict(type="LinearLR", start_factor=0.1, by_epoch=False, end=4)],
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        default_hooks=dict(checkpoint=dict(type=CheckpointHook, interval=1)),
        custom_hooks=[dict(type="EMAHook")],
        experiment_name=name,
        log_level="ERROR",
        **settings,
    )
    runner.message_hub.update_info("numbers", [np.float32(0.5), np.int64(3), np.arange(2)])
    return runner


def test_mmengine_saves_loads_and_resumes(tmp_path):
    make_runner(tmp_path, "saved", epochs=1).train()
    checkpoint = torch.load(tmp_path / "epoch_1.pth", weights_only=True)
    assert {"meta", "state_dict", "optimizer", "message_hub"} <= set(checkpoint)
    history = checkpoint["message_hub"]["log_scalars"]["train/loss"]
    assert isinstance(history, HistoryBuffer)
    assert history.statistics("mean") == pytest.approx(history.data[0].mean())

    resumed = make_runner(
        tmp_path, "resumed", epochs=2, resume=True, load_from=str(tmp_path / "epoch_1.pth")
    )
    resumed.train()
    assert resumed.epoch == 2
    assert len(resumed.message_hub.get_scalar("train/loss").data[0]) == 4


def legacy_bytes(value):
    """As torch.save writes it, in the older format in which the pickle is plain bytes."""
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i4", "i8", "f2", "f4", "f8"])
def test_files_of_either_numpy_generation(module, dtype):
    value = {"array": np.array([0, 1], dtype), "scalar": np.array([1], dtype)[0]}
    content = legacy_bytes(value)
    for written in (b"numpy.core.multiarray", b"numpy._core.multiarray"):
        content = content.replace(written, module)
    assert module in content
    loaded = torch.load(io.BytesIO(content), weights_only=True)
    assert loaded["array"].dtype == value["array"].dtype
    assert np.array_equal(loaded["array"], value["array"])
    assert loaded["scalar"] == value["scalar"]


class Hostile:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def load_hostile(value):
    with pytest.raises(pickle.UnpicklingError) as info:
        torch.load(io.BytesIO(legacy_bytes(value)), weights_only=True)
    return str(info.value)


def test_code_in_a_file_is_not_run(tmp_path):
    load_hostile(Hostile(os.mkdir, str(tmp_path / "proof")))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("function", "arguments"),
    [(builtins.eval, ("1",)), (np.load, ("file.npy",)), (Runner.from_cfg, ({},))],
)
def test_other_functions_are_refused(function, arguments):
    load_hostile(Hostile(function, *arguments))


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (HistoryBuffer, "__init__"),
        (HistoryBuffer, "register_statistics"),
        (np.ndarray, "tofile"),
        ("text", "format"),
    ],
)
def test_getattr_reaches_statistics_only(owner, name):
    message = load_hostile(Hostile(getattr, owner, name))
    assert f"'{name}') is refused" in message
    assert "min, max, current, mean" in message


def test_object_arrays_are_refused():
    load_hostile(np.array(["text"], dtype=object))
