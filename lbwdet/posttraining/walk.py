"""Many forward passes in step: all of them stop where a watched module is called.

A layer that is quantized wants to see what *all* images bring to it before it is
changed, and the layers behind it want to see what it then makes of them. Passes
that wait for each other need one forward pass per image for a whole network, where
starting anew for each layer needs as many as there are layers. No graph is traced:
each pass is the module's own code in a thread of its own, and one runs at a time.
"""

import inspect
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from lbwdet.layers import QuantLayer

_here = threading.local()  # `run`: the pass that this thread is


class _Cancelled(BaseException):
    """Ends a waiting pass; not an Exception, so that no code on its way catches it."""


class Run:
    """One forward pass, which stops before the call of a watched module.

    Attributes:
        at: name of the module whose call it waits before; None once it is through.
        arguments: of that call, see :func:`positional`.
    """

    def __init__(self, forward: Callable[[], object]) -> None:
        self.at: str | None = None
        self.arguments: tuple[Any, ...] = ()
        self._forward = forward
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._cancelled = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def advance(self) -> None:
        """Goes on to the next watched call, or to the end.

        Raises:
            Exception: what the forward pass raised.
        """
        self.at, self.arguments = None, ()
        self._go.release()
        self._stopped.acquire()
        if self._error is not None:
            raise self._error

    def cancel(self) -> None:
        """Ends the pass where it is, and waits for its end."""
        self._cancelled = True
        self._go.release()
        self._thread.join()
        self.at, self.arguments = None, ()

    def meet(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.at, self.arguments = name, arguments
        self._stopped.release()
        self._wait()

    def _wait(self) -> None:
        self._go.acquire()
        if self._cancelled:
            raise _Cancelled

    def _work(self) -> None:
        _here.run = self
        try:
            self._wait()
            with torch.no_grad():
                self._forward()
        except _Cancelled:
            pass
        except BaseException as error:
            self._error = error
        finally:
            self._stopped.release()


class Walk:
    """Passes that go through their networks in step.

    Args:
        models: the networks that the passes run, each of them with every module of ``names``.
        names: the watched modules, in the order in which a pass meets them.
        passes: what to run.

    As a context manager it takes its hooks away and ends the passes that still wait.
    """

    def __init__(
        self,
        models: Iterable[nn.Module],
        names: Sequence[str],
        passes: Iterable[Callable[[], object]],
    ) -> None:
        self._rank = {name: rank for rank, name in enumerate(names)}
        self._left: set[str] = set()
        self._hooks = [
            model.get_submodule(name).register_forward_pre_hook(self._hook(name), with_kwargs=True)
            for model in models
            for name in names
        ]
        self.runs = [Run(forward) for forward in passes]

    def __enter__(self) -> "Walk":
        return self

    def __exit__(self, *error: object) -> None:
        for run in self.runs:
            run.cancel()
        for hook in self._hooks:
            hook.remove()

    def __iter__(self) -> Iterator[str]:
        """Each watched module that a pass meets, once, while the passes wait before it.

        Those that meet it later, by another way through the network, do not stop there.
        """
        for run in self.runs:
            run.advance()
        while waiting := {run.at for run in self.runs if run.at is not None}:
            name = min(waiting, key=self._rank.__getitem__)
            yield name
            self._left.add(name)
            for run in self.runs:
                if run.at == name:
                    run.advance()

    def _hook(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            run: Run | None = getattr(_here, "run", None)
            if run is not None and name not in self._left:
                run.meet(name, positional(module, args, kwargs))

        return hook


def positional(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """A call's arguments in the order in which ``forward`` names them, as far as it does.

    >>> positional(nn.Linear(2, 2), (), dict(input=1))
    (1,)
    """
    if not kwargs:
        return args
    own = (kind for kind in type(module).__mro__ if "forward" in vars(kind))
    forward = vars(next(kind for kind in own if not _is_mixin(kind)))["forward"]
    bound = inspect.signature(forward).bind(module, *args, **kwargs)
    bound.apply_defaults()
    return (*bound.args[1:], *bound.kwargs.values())


def _is_mixin(kind: type) -> bool:
    """Of the quantized layers' own: its ``forward`` hands on whatever it is given."""
    return issubclass(kind, QuantLayer) and not issubclass(kind, nn.Conv2d | nn.Linear)


class _Enough(BaseException):
    """Ends a pass that has nothing more to show."""


def calls_of(
    module: nn.Module, number: int, forward: Callable[[], object]
) -> list[tuple[Any, ...]]:
    """The arguments of the first ``number`` calls of a module while ``forward`` runs."""
    found: list[tuple[Any, ...]] = []

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found.append(positional(module, args, kwargs))
        if len(found) == number:
            raise _Enough

    handle = module.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        forward()
    except _Enough:
        pass
    finally:
        handle.remove()
    return found
