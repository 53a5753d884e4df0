"""Reading checkpoints safely, and saying which keys do not fit."""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lbwdet.checkpoint_file import load
from lbwdet.errors import CheckpointError, shown

LISTED_KEYS = 8
LONGEST_PATH = 4096  # bytes, as of the system


def read_checkpoint(
    path: str | Path, keys: Sequence[str] = ("state_dict",)
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Reads weights and ``meta`` of a path or URL without unpickling arbitrary code.

    Args:
        path: of the file.
        keys: where the weights may be in it; the first that is there counts. A file with
            none of them is a state dict itself.

    Raises:
        CheckpointError: The file is missing, unreadable, damaged, holds no weights,
            or weights that are not finite or not stored one by one.
    """
    checkpoint = load(path)
    state = checkpoint
    meta: Any = {}
    key = next((key for key in keys if isinstance(checkpoint, Mapping) and key in checkpoint), None)
    if key is not None:
        state, meta = checkpoint[key], checkpoint.get("meta") or {}
    if not isinstance(state, Mapping) or not state:
        raise CheckpointError(f"{path}: holds no weights (no 'state_dict')")
    if not isinstance(meta, Mapping):
        raise CheckpointError(f"{path}: its 'meta' is no dict but {shown(meta)}")
    _check_own(meta, path)
    unnamed = [shown(key) for key in state if not isinstance(key, str)]
    if unnamed:
        raise CheckpointError(
            f"{path}: holds no state dict: keys are names of parameters, not {_listed(unnamed)}"
        )
    not_tensors = sorted(key for key, value in state.items() if not torch.is_tensor(value))
    if not_tensors:
        raise CheckpointError(
            f"{path}: holds no state dict: {_listed(not_tensors)} are not tensors"
        )
    odd = sorted(key for key, value in state.items() if not _is_plain(value))
    if odd:
        raise CheckpointError(
            f"{path}: {_listed(odd)} are sparse, quantized or otherwise not stored value by "
            "value; save the model's plain state_dict()"
        )
    # Distributed wrappers put "module." in front of every key.
    if all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    # MMDetection 2 kept a second value of each weight beside it; what it tested has the plain name.
    seconds = {f"ema_{key.replace('.', '_')}" for key in state}
    state = {key: value for key, value in state.items() if key not in seconds}
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
    return dict(state), dict(meta)


def _check_own(meta: Mapping[Any, Any], path: str | Path) -> None:
    """What lbwdet writes into ``meta`` are dicts by name, and so is how each layer is quantized."""
    own = {f"meta[{key!r}]": value for key, value in meta.items() if str(key).startswith("lbwdet")}
    if isinstance(meta.get("lbwdet"), Mapping) and "quant" in meta["lbwdet"]:
        own["meta['lbwdet']['quant']"] = meta["lbwdet"]["quant"]
    for place, value in own.items():
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise CheckpointError(f"{path}: its {place} is no dict by name but {shown(value)}")


def latest_checkpoint(work_dir: str | Path) -> Path | None:
    """The checkpoint to go on from; None if there is none.

    MMEngine writes its name to ``last_checkpoint``. The file of that name in this very
    folder counts: after a copy, the path leads to the original. If the file is damaged,
    the highest number counts; a path elsewhere, if there is nothing here.
    """
    work_dir = Path(work_dir)
    named = _named_last(work_dir / "last_checkpoint")
    if named is not None and (work_dir / named.name).is_file():
        return work_dir / named.name
    numbered = {
        int(found[1]): path
        for path in work_dir.glob("*.pth")
        if (found := re.fullmatch(r"(?:epoch|iter)_(\d+)", path.stem))
    }
    if numbered:
        return numbered[max(numbered)]
    return named if named is not None and named.is_file() else None


def _named_last(pointer: Path) -> Path | None:
    """What is written in ``last_checkpoint``, if it is written as a path."""
    if not pointer.is_file():
        return None
    with pointer.open("rb") as file:
        content = file.read(LONGEST_PATH + 1)
    try:
        text = content.decode("utf-8").strip()
        if not text or len(content) > LONGEST_PATH or not text.isprintable():
            return None
        Path(text).is_file()  # asks the system whether a name can be so long
    except (UnicodeDecodeError, OSError):
        return None
    return Path(text)


def _is_plain(tensor: torch.Tensor) -> bool:
    """Dense, and every value of it stored: not one number that stands for a billion."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested or tensor.is_meta:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


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
            "lbwdet train --partial starts a training from what fits."
        )


def _listed(keys: Sequence[str]) -> str:
    more = f", and {len(keys) - LISTED_KEYS} more" if len(keys) > LISTED_KEYS else ""
    return ", ".join(keys[:LISTED_KEYS]) + more
