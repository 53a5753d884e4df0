"""Lets MMEngine load its own checkpoints without unpickling arbitrary code.

torch >= 2.6 loads with ``weights_only=True`` and refuses types that MMEngine
0.10.7 writes into every checkpoint: its ``HistoryBuffer`` and what that is
made of. Exactly those are allow-listed; anything else is still refused.
"""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer

# Numbers and truth values of every width; the object type ("O") stays out.
_DTYPE_CODES = "?bBhHiIlLqQefd"


def _history_statistic(owner: Any, name: str) -> Callable[..., Any]:
    """What ``getattr`` may do in a checkpoint: name a statistic of HistoryBuffer.

    A pickled HistoryBuffer holds its own methods, written as calls of
    ``getattr``. The real one would let a file reach any attribute.
    """
    statistics: dict[str, Callable[..., Any]] = HistoryBuffer()._statistics_methods
    if owner is not HistoryBuffer or name not in statistics:
        raise pickle.UnpicklingError(
            f"getattr({owner!r}, {name!r}) is refused in a checkpoint; allowed are "
            f"{', '.join(statistics)} of HistoryBuffer"
        )
    return statistics[name]


def allow_mmengine_types() -> None:
    """Adds what MMEngine's CheckpointHook writes to torch's safe globals."""
    # How numpy rebuilds arrays and scalars. numpy 2 moved both functions from
    # numpy.core to numpy._core; files written under either name are read.
    rebuild_array = np.empty(0).__reduce__()[0]
    rebuild_scalar = np.float64(0).__reduce__()[0]
    allowed: list[Any] = [
        HistoryBuffer,
        (_history_statistic, "builtins.getattr"),
        np.ndarray,
        np.dtype,
        *{type(np.dtype(code)) for code in _DTYPE_CODES},
    ]
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        allowed += [
            (rebuild_array, f"{module}._reconstruct"),
            (rebuild_scalar, f"{module}.scalar"),
        ]
    torch.serialization.add_safe_globals(allowed)
