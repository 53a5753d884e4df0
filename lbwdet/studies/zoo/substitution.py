"""Running a model with some of the tensors inside of it exchanged for others."""

import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree

from lbwdet.errors import LBWError


class Place(NamedTuple):
    """A module, which of its calls, the number of a tensor that this call returns.

    With ``channels``, these of the tensor's alone; with ``added``, the tensor before this was
    added, to all its positions or to each its own.
    """

    module: nn.Module
    call: int
    number: int
    channels: Tensor | None = None
    added: Tensor | None = None

    def key(self) -> "Place":
        """What tells it from other places."""
        return Place(self.module, self.call, self.number)


_VIEWS = (Tensor.transpose, Tensor.reshape)


class _Selections(TorchFunctionMode):
    """Knows where from and how channels were selected, or something was added to a map."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[int, tuple[Tensor, Tensor]] = {}
        self.added: dict[int, tuple[Tensor, Tensor]] = {}
        self._views: dict[int, Tensor] = {}
        self._kept: list[Tensor] = []  # so that no other tensor gets an identity that was seen

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if function is Tensor.index_select and args[1] == 1:
            self.made[id(result)] = args[0], args[2]
            self._kept.append(result)
        if function is Tensor.add and isinstance(args[1], Tensor) and args[1].shape[2:] == (1, 1):
            self.added[id(result)] = args[0], args[1]
            self._kept.append(result)
        if function is torch.ops.lbwdet.mix.default and args[0][0].shape == result.shape:
            self.added[id(result)] = args[0][0], result - args[0][0]
            self._kept.append(result)
        if function in _VIEWS:
            self._views[id(result)] = args[0]
            self._kept.append(result)
        return result

    def origin(self, tensor: Tensor) -> Tensor:
        """The tensor of which one was but another view."""
        while id(tensor) in self._views:
            tensor = self._views[id(tensor)]
        return tensor


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
            seen[id(leaf)].append(Place(module, call, index))

    with _watched(model, note), _Selections() as selections:
        tensors = compute()
    places = []
    for tensor in tensors:
        source, channels = selections.made.get(id(tensor), (tensor, None))
        added = None
        if id(source) not in seen:
            source, added = selections.added.get(id(source), (source, None))
            source = source if id(source) in seen else selections.origin(source)
        found = [place._replace(channels=channels, added=added) for place in seen[id(source)]]
        places.append(found)
    if missing := [index for index, found in enumerate(places) if not found]:
        raise LBWError(f"no module returns map {missing[0]} of {len(places)}")
    return places


@contextlib.contextmanager
def substituted(
    model: nn.Module, places: Sequence[Sequence[Place]], tensors: Sequence[Tensor]
) -> Iterator[None]:
    """Inside the block each tensor stands at its places, in the first run of the model."""
    exchanged: defaultdict[Place, list[tuple[Tensor | None, Tensor]]] = defaultdict(list)
    for found, tensor in zip(places, tensors, strict=True):
        for place in found:
            own = tensor if place.added is None else tensor - place.added
            exchanged[place.key()].append((place.channels, own))

    def exchange(module: nn.Module, call: int, output: Any) -> Any:
        leaves, structure = _pytree.tree_flatten(output)
        changed = list(leaves)
        for index, leaf in enumerate(leaves):
            for channels, tensor in exchanged.get(Place(module, call, index), ()):
                if tensor.dim() == 4 and leaf.dim() == 3:  # a map in the place of tokens
                    tensor = tensor.movedim(1, -1).reshape(leaf.shape)
                changed[index] = (
                    tensor if channels is None else leaf.index_copy(1, channels, tensor)
                )
                leaf = changed[index]
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
