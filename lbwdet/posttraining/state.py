"""How far a post-training has come, on disk: for one that is interrupted, or run again."""

import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lbwdet import __version__
from lbwdet.checkpoints import check_fit, read_checkpoint
from lbwdet.errors import CheckpointError
from lbwdet.files import atomic_write
from lbwdet.posttraining.settings import LayerResult

_EVERY = 15.0  # seconds between two writes


class State:
    """The modules done and the weights so far, in one file.

    Args:
        path: of the file; it goes when all is done.
        key: of all that decides the result; a file of another key is not gone on from.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key
        self.done: list[str] = []
        self.layers: list[LayerResult] = []
        self._written = time.monotonic()

    def resume(self, model: nn.Module) -> bool:
        """Puts the weights of an interrupted run into ``model``, if there is one.

        A file that is damaged, of another run, or of whatever else counts as none.
        """
        try:
            weights, meta = read_checkpoint(self.path)
            told = json.loads(meta["post_training"])
            if told["key"] != self.key:
                return False
            done = [str(name) for name in told["done"]]
            layers = [LayerResult(**layer) for layer in told["layers"]]
            check_fit(model, weights, self.path)
        except (CheckpointError, LookupError, TypeError, ValueError):
            return False
        model.load_state_dict(weights)
        self.done, self.layers = done, layers
        return True

    def note(
        self, model: nn.Module, name: str, layer: LayerResult | None, last: bool = False
    ) -> None:
        """One more module is done; from time to time, and at last, everything is written."""
        self.done.append(name)
        if layer is not None:
            self.layers.append(layer)
        if last or time.monotonic() - self._written >= _EVERY:
            self.write(model)

    def write(self, model: nn.Module) -> None:
        layers = [dataclasses.asdict(layer) for layer in self.layers]
        told = json.dumps(dict(key=self.key, done=self.done, layers=layers))
        write_weights(self.path, model, dict(post_training=told))
        self._written = time.monotonic()

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def write_detector(path: Path, model: nn.Module, classes: Sequence[str], **told: Any) -> None:
    """The checkpoint of a detector of these classes, and what is told of it."""
    told = dict(version=__version__, **told)
    write_weights(path, model, dict(dataset_meta=dict(CLASSES=classes), lbwdet=told))


def write_weights(path: Path, model: nn.Module, meta: dict[str, Any]) -> None:
    """A checkpoint as training writes them, whole or not at all."""
    state = {name: value.detach().contiguous() for name, value in model.state_dict().items()}
    write_state(path, state, meta)


def write_state(path: Path, state: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """As :func:`write_weights`, of a state dict."""
    with atomic_write(path) as temporary:
        torch.save(dict(meta=dict(meta), state_dict=dict(state)), temporary)
