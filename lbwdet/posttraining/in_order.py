"""The same sum on any number of threads."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

T = TypeVar("T")


def in_order(
    pool: ThreadPoolExecutor, function: Callable[[Any], T], items: Iterable[Any], ahead: int = 4
) -> Iterator[T]:
    """``map`` with few results at a time in memory."""
    function = torch.no_grad()(function)  # gradients are a matter of each thread
    waiting: list[Any] = []
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.pop(0).result()
    for future in waiting:
        yield future.result()


def total(parts: Iterator[Any]) -> Any:
    """The sum, from left to right; None of nothing."""
    result = next(parts, None)
    for part in parts:
        result = result + part
    return result
