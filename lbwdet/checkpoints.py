"""Reading checkpoints safely, and saying which keys do not fit."""

import pickle
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lbwdet.errors import CheckpointError

LISTED_KEYS = 8


def read_checkpoint(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Reads weights and ``meta`` without unpickling arbitrary code.

    Raises:
        CheckpointError: The file is missing, unreadable, holds no weights, or
            weights that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        beside = sorted(entry.name for entry in path.parent.glob("[!.]*.pth"))
        hint = f"; this folder has {', '.join(beside[:LISTED_KEYS])}" if beside else ""
        raise CheckpointError(f"{path}: no such checkpoint{hint}")
    size = path.stat().st_size
    if size == 0:
        raise CheckpointError(f"{path}: the checkpoint is empty (0 bytes); train or copy it again")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: not a checkpoint, or one with Python objects in it that are refused because "
            f"unpickling them could run code ({_first_line(error)})"
        ) from error
    except Exception as error:  # torch's readers raise many types on foreign bytes
        raise CheckpointError(
            f"{path}: the checkpoint is truncated or corrupt ({size:,} bytes; "
            f"{_first_line(error)}); copy it again or use an earlier one"
        ) from error
    state = checkpoint
    meta: dict[str, Any] = {}
    if isinstance(checkpoint, Mapping) and "state_dict" in checkpoint:
        state, meta = checkpoint["state_dict"], checkpoint.get("meta") or {}
    if not isinstance(state, Mapping) or not state:
        raise CheckpointError(f"{path}: holds no weights (no 'state_dict')")
    not_tensors = sorted(str(key) for key, value in state.items() if not torch.is_tensor(value))
    if not_tensors:
        raise CheckpointError(
            f"{path}: holds no state dict: {_listed(not_tensors)} are not tensors"
        )
    # Distributed wrappers put "module." in front of every key.
    if all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    # A NaN weight gives NaN scores, which NMS drops: the detector would seem to see nothing.
    damaged = sorted(
        key
        for key, value in state.items()
        if value.is_floating_point() and not torch.isfinite(value).all()
    )
    if damaged:
        raise CheckpointError(
            f"{path}: NaN or infinite values in {_listed(damaged)}; the training diverged, "
            "use an earlier checkpoint"
        )
    return dict(state), meta


def latest_checkpoint(work_dir: str | Path) -> Path | None:
    """The checkpoint to go on from; None if there is none.

    MMEngine writes its name to ``last_checkpoint``. If that file is half
    written, or the folder was moved since, the highest number counts.
    """
    work_dir = Path(work_dir)
    pointer = work_dir / "last_checkpoint"
    named = pointer.read_text(encoding="utf-8").strip() if pointer.is_file() else ""
    if named and Path(named).is_file():
        return Path(named)
    numbered = {
        int(found[1]): path
        for path in work_dir.glob("*.pth")
        if (found := re.fullmatch(r"(?:epoch|iter)_(\d+)", path.stem))
    }
    return numbered[max(numbered)] if numbered else None


def check_fit(
    model: nn.Module,
    state: Mapping[str, torch.Tensor],
    path: str | Path,
    optional: Collection[str] = (),
) -> None:
    """Raises CheckpointError, naming keys and shapes, unless ``state`` fits exactly.

    Keys of the model that are ``optional`` may be missing.
    """
    own = model.state_dict()
    mismatched = [
        f"{key} (checkpoint {tuple(state[key].shape)}, model {tuple(own[key].shape)})"
        for key in sorted(own.keys() & state.keys())
        if state[key].shape != own[key].shape
    ]
    problems = [
        f"{len(keys)} {kind}: {_listed(keys)}"
        for kind, keys in (
            ("missing from the checkpoint", sorted(own.keys() - state.keys() - set(optional))),
            ("unknown to the model", sorted(state.keys() - own.keys())),
            ("of another shape", mismatched),
        )
        if keys
    ]
    if problems:
        raise CheckpointError(
            f"{path}: does not fit the model of the config ({len(own)} keys):\n  "
            + "\n  ".join(problems)
            + "\nUse the config that the checkpoint was trained with; "
            "to start a training from what fits: train --partial."
        )


def _listed(keys: Sequence[str]) -> str:
    more = f", and {len(keys) - LISTED_KEYS} more" if len(keys) > LISTED_KEYS else ""
    return ", ".join(keys[:LISTED_KEYS]) + more


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
