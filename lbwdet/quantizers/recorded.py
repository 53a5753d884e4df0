"""Projections as CUDA graphs: one operation in the place of some seventy."""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from typing import Any, TypeVar

import torch
from torch import Tensor

from lbwdet.quantizers.base import WeightQuantizer
from lbwdet.quantizers.packing import Arrangement, Packed

T = TypeVar("T")
RECORDING_DEVICES = ("cuda",)


def record(quantizer: WeightQuantizer, arrangement: Arrangement) -> "RecordedProjection | None":
    """None if there is no NVIDIA GPU or no room for it; with a warning if it fails."""
    if arrangement.device.type not in RECORDING_DEVICES or torch.version.hip is not None:
        return None
    if arrangement.layout.num_rows * arrangement.layout.width > quantizer.recorded_values:
        return None
    try:
        with _current(arrangement.device):
            return RecordedProjection(quantizer, arrangement)
    except RuntimeError as error:
        warnings.warn(
            f"the projection of all weights is not recorded as a CUDA graph, which is slower: "
            f"{str(error).partition(chr(10))[0]}",
            stacklevel=2,
        )
        return None


class RecordedProjection:
    """What :meth:`WeightQuantizer.fake_quantize_all` does, recorded once and then repeated.

    Two graphs, so that what is not finite is known before all is done. Results lie where those of
    the last time lay; autograd refuses a backward pass through the former ones, as it does where an
    optimizer has changed a weight in place.

    Args:
        quantizer: one that packs.
        arrangement: of finite weights that stay where they are, on a GPU.

    Raises:
        RuntimeError: there is something among the operations that cannot be recorded.
    """

    def __init__(self, quantizer: WeightQuantizer, arrangement: Arrangement) -> None:
        self._arrangement = arrangement
        searched = enumerate(quantizer.search(arrangement.pack()), 1)
        stages = next(number for number, (_, left) in searched if left is None or not left)
        self._packs, (packed, peak) = _recorded(lambda: _with_peak(arrangement))

        def search_and_assign() -> tuple[Tensor, Tensor | None]:
            *_, (scale, left) = islice(quantizer.search(packed), stages)
            rows = quantizer.assign_packed(packed, scale)
            return rows.to(arrangement.dtype), left

        self._assigns, (self._rows, left) = _recorded(search_and_assign)
        self._peak, self._left = _Answer(peak), None if left is None else _Answer(left)
        self._lane = _Lane()

    def start(self) -> None:
        """Has the GPU begin, beside what it is told from now on."""
        torch.autograd.graph.increment_version(self._rows)
        with _current(self._arrangement.device), self._lane.beside():
            self._packs()
            self._peak.ask()
            self._assigns()
            if self._left is not None:
                self._left.ask()

    def results(self) -> list[Tensor]:
        """What each weight has become, for what the GPU is told from now on."""
        with _current(self._arrangement.device):
            self._lane.join()
        return self._arrangement.unpack(self._rows)

    def succeeded(self) -> bool:
        """Whether all weights are finite and the search has ended; waits for the GPU."""
        return math.isfinite(self._peak.wait()) and not (self._left and self._left.wait())


class _Lane:
    """A stream beside the current one."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()

    @contextmanager
    def beside(self) -> Iterator[None]:
        """What is started within comes after all that has been started so far, not before more."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            yield

    def join(self) -> None:
        """What is started from now on comes after it."""
        torch.cuda.current_stream().wait_stream(self._stream)


class _Answer:
    """A number that the processor asks for and reads later, without a wait for all that follows."""

    def __init__(self, number: Tensor) -> None:
        self._number = number
        self._here = torch.empty_like(number, device="cpu", pin_memory=number.is_cuda)
        self._arrived = torch.cuda.Event()

    def ask(self) -> None:
        self._here.copy_(self._number, non_blocking=True)
        self._arrived.record()

    def wait(self) -> float:
        self._arrived.synchronize()
        return self._here.item()


def _current(device: torch.device) -> AbstractContextManager[Any]:
    """Graphs, streams and events are of the current GPU, which need not be that of the weights."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _with_peak(arrangement: Arrangement) -> tuple[Packed, Tensor]:
    packed = arrangement.pack()
    return packed, packed.peak()


def _recorded(compute: Callable[[], T]) -> tuple[Callable[[], None], T]:
    """What does the same again, and where its results will be then."""
    graph = torch.cuda.CUDAGraph()
    # thread_local: threads that load images may use the GPU meanwhile. A stream of this GPU: the
    # default one is of the GPU that recorded first.
    stream = torch.cuda.Stream()
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        results = compute()
    return graph.replay, results
