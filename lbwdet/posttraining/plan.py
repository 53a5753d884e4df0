"""What one forward pass shows: which modules it calls, in which order, and what reads what."""

import contextlib
import dataclasses
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from lbwdet.posttraining.walk import positional


@dataclasses.dataclass
class Plan:
    """What the passes of a network have in common.

    Attributes:
        uses: how often a pass calls each layer and norm, in the order of the first calls.
        norms: the batch norms that alone read a layer's output, one for each of its uses;
            only of layers whose every use has one.
        live_bytes: the most that a pass holds in tensors where it could be made to wait.
    """

    uses: dict[str, int]
    norms: dict[str, list[str]]
    live_bytes: int


def is_norm(module: nn.Module) -> bool:
    """Whether it is a batch norm with statistics of its own, which can be set."""
    return isinstance(module, _BatchNorm) and module.running_mean is not None


def make_plan(
    model: nn.Module,
    layers: Mapping[str, nn.Module],
    forward: Callable[[], object],
    on_first: Callable[[str, tuple[Any, ...], Any], None] = lambda name, args, output: None,
) -> Plan:
    """Runs ``forward``, a pass of ``model``, and looks at what happens.

    Args:
        model: in eval mode.
        layers: of ``model``, by name: those to look at.
        forward: runs ``model`` once.
        on_first: is told of each layer's first call.
    """
    names = {module: name for name, module in model.named_modules() if is_norm(module)}
    norms = set(names.values())
    names |= {module: name for name, module in layers.items()}
    uses: dict[str, int] = {}
    wrote: WeakIdKeyDictionary = WeakIdKeyDictionary()  # outputs of layers: (name, number of use)
    behind: dict[tuple[str, int], str] = {}
    watch = _Watch(wrote)
    peak = 0

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        nonlocal peak
        peak = max(peak, watch.live_bytes)
        name = names[module]
        uses[name] = uses.get(name, 0) + 1
        if name in norms:
            watch.inside_norm = True
            if (use := wrote.get(positional(module, args, kwargs)[0])) is not None:
                behind[use] = name

    def after(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        name = names[module]
        if name in norms:
            watch.inside_norm = False
            return
        if isinstance(output, Tensor):
            wrote[output] = (name, uses[name] - 1)
        if uses[name] == 1:
            with watch.paused():
                on_first(name, positional(module, args, kwargs), output)

    with contextlib.ExitStack() as stack:
        for module in names:
            for hook in (
                module.register_forward_pre_hook(before, with_kwargs=True),
                module.register_forward_hook(after, with_kwargs=True),
            ):
                stack.callback(hook.remove)
        stack.enter_context(torch.no_grad())
        with watch:
            forward()
    alone = {
        name: [
            behind[name, use]
            for use in range(uses[name])
            if (name, use) in behind and (name, use) not in watch.read_elsewhere
        ]
        for name in uses
        if name not in norms
    }
    return Plan(
        uses, {name: found for name, found in alone.items() if len(found) == uses[name]}, peak
    )


class _Watch(TorchDispatchMode):
    """Sees every operation: which outputs of layers it reads, and what memory is in use."""

    def __init__(self, wrote: WeakIdKeyDictionary) -> None:
        super().__init__()
        self.inside_norm = False
        self._paused = False
        self.read_elsewhere: set[tuple[str, int]] = set()
        self.live_bytes = 0
        self._wrote = wrote
        self._holders: dict[int, int] = {}  # number of tensors by storage

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if self._paused:
            return function(*args, **(kwargs or {}))
        if not self.inside_norm:
            for value in tree_leaves((args, kwargs)):
                if isinstance(value, Tensor) and (use := self._wrote.get(value)) is not None:
                    self.read_elsewhere.add(use)
        result = function(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self._hold(value)
        return result

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def _hold(self, value: Tensor) -> None:
        storage = value.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self._holders:
            self.live_bytes += size
        self._holders[key] = self._holders.get(key, 0) + 1
        weakref.finalize(value, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self._holders[key] -= 1
        if not self._holders[key]:
            del self._holders[key]
            self.live_bytes -= size
