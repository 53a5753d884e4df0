"""Running a model with some of the tensors inside of it exchanged for others."""

import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree

from lbwdet.errors import LBWError

Place = tuple[nn.Module, int, int]
"""A module, which of its calls, which of the tensors that this call returns."""


def places_of(model: nn.Module, compute: Callable[[], Sequence[Tensor]]) -> list[list[Place]]:
    """Where modules return the tensors that ``compute`` returns.

    Raises:
        LBWError: no module returns one of them.
    """
    seen: defaultdict[int, list[Place]] = defaultdict(list)
    kept: list[Any] = []  # so that no other tensor gets an identity that was seen

    def note(module: nn.Module, call: int, output: Any) -> None:
        kept.append(output)
        for index, leaf in enumerate(_pytree.tree_leaves(output)):
            seen[id(leaf)].append((module, call, index))

    with _watched(model, note):
        tensors = compute()
    places = [seen[id(tensor)] for tensor in tensors]
    if missing := [index for index, found in enumerate(places) if not found]:
        raise LBWError(f"no module returns map {missing[0]} of {len(places)}")
    return places


@contextlib.contextmanager
def substituted(
    model: nn.Module, places: Sequence[Sequence[Place]], tensors: Sequence[Tensor]
) -> Iterator[None]:
    """Inside the block each tensor stands at its places, in the first run of the model."""
    exchanged = {
        (module, call, index): tensor
        for found, tensor in zip(places, tensors, strict=True)
        for module, call, index in found
    }

    def exchange(module: nn.Module, call: int, output: Any) -> Any:
        leaves, structure = _pytree.tree_flatten(output)
        changed = [exchanged.get((module, call, n), leaf) for n, leaf in enumerate(leaves)]
        if all(new is old for new, old in zip(changed, leaves, strict=True)):
            return None
        return _pytree.tree_unflatten(changed, structure)

    with _watched(model, exchange):
        yield


@contextlib.contextmanager
def _watched(model: nn.Module, see: Callable[[nn.Module, int, Any], Any]) -> Iterator[None]:
    """Calls ``see`` with every module, the number of its call, and what it returns."""
    calls: Counter[nn.Module] = Counter()

    def hook(module: nn.Module, _: Any, output: Any) -> Any:
        calls[module] += 1
        return see(module, calls[module] - 1, output)

    with contextlib.ExitStack() as hooks:
        for module in model.modules():
            hooks.enter_context(module.register_forward_hook(hook))
        yield
