"""Several calls that are one operation: what attention over pixels and parts is written as.

Each idiom becomes calls that have rules of their own. What is left of it, and nobody reads, goes.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

from lbwdet.deploy.lower.trace import Call, Graph, Name

# Calls that keep the numbers and their order, as long as there are as many.
VIEWS = {"view", "reshape", "_unsafe_view", "flatten", "unsqueeze", "squeeze", "expand", "alias"}
SOFTMAXES = ("softmax", "_softmax")


def find_idioms(graph: Graph) -> Graph:
    """The graph with its idioms as calls of ``softmax_pool``, ``softmax_of_parts``, and plain ones.

    ``softmax_pool(self, logits)``: of a map [n, c, h, w] the mean of its pixels, weighted by the
    softmax of logits [n, 1, h, w] (global context). ``softmax_of_parts(self, groups, parts)``: of a
    map [n, groups * parts * k, 1, 1] the softmax over its parts, which come first in the result
    [n, parts * groups * k, 1, 1] (split attention).
    """
    calls, reader = [], _Reader(graph)
    for call in graph.calls:
        calls += reader.idiom(call) or [call]
    return dataclasses.replace(graph, calls=needed(calls, graph.outputs))


class _Reader:
    """Knows which call makes which value."""

    def __init__(self, graph: Graph) -> None:
        self._calls = {call.output: call for call in graph.calls}
        self._made: set[str] = set()  # values that idioms make
        self._shapes = dict(graph.inputs) | {call.output: call.shape for call in graph.calls}

    def idiom(self, call: Call) -> list[Call]:
        """The calls that an idiom becomes, of which this is the last; nothing if it is none."""
        found = list(self._read(call))
        if found:
            self._made.add(call.output)
        return found

    def _read(self, call: Call) -> Iterator[Call]:
        if call.op == "sum" and not call.arguments.get("keepdim"):
            yield from self._sum_of_parts(call)
        elif call.op in VIEWS and len(call.shape) == 4 and call.shape[2:] == (1, 1):
            maker = self._call(self._origin(call.output))
            if maker is not None and maker.op in ("matmul", "bmm"):
                yield from self._softmax_pool(call, maker)
            elif maker is not None and maker.op in SOFTMAXES:
                yield from self._softmax_of_parts(call, maker)

    def _softmax_pool(self, call: Call, product: Call) -> Iterator[Call]:
        left, right = product.arguments.values()
        value, softmax = self._map(left), self._call(self._origin(right))
        if value is None or softmax is None or softmax.op not in SOFTMAXES:
            return
        logits = self._map(softmax.arguments["self"])
        n, channels, height, width = self._shapes[value]
        pixels = height * width
        if (
            logits is not None
            and self._shapes[logits] == (n, 1, height, width)
            and softmax.shape[-1] == pixels
            and softmax.arguments["dim"] % len(softmax.shape) == len(softmax.shape) - 1
            and self._shapes[left][-2:] == (channels, pixels)
            and self._shapes[right][-2:] == (pixels, 1)
            and call.shape == (n, channels, 1, 1)
        ):
            yield _made(call, "softmax_pool", {"self": value, "logits": logits})

    def _softmax_of_parts(self, call: Call, softmax: Call) -> Iterator[Call]:
        turned = self._call(softmax.arguments["self"])
        if turned is None or turned.op not in ("transpose", "permute") or len(turned.shape) != 4:
            return
        axes = {turned.arguments.get("dim0"), turned.arguments.get("dim1")}
        if axes != {1, 2} and list(turned.arguments.get("dims") or ()) != [0, 2, 1, 3]:
            return
        source = self._map(turned.arguments["self"])
        if source is None or softmax.arguments["dim"] % 4 != 1:
            return
        n, parts, groups, _ = turned.shape
        if self._shapes[source] == call.shape and call.shape[0] == n:
            settings = {"self": source, "groups": groups, "parts": parts}
            yield _made(call, "softmax_of_parts", settings)

    def _sum_of_parts(self, call: Call) -> Iterator[Call]:
        """Of a map [n, parts * c, h, w] seen as [n, parts, c, h, w]; or of its product with one."""
        if len(call.shape) != 4 or list(call.arguments.get("dim") or ()) != [1]:
            return
        summed = call.arguments["self"]
        maker = self._call(summed)
        if maker is not None and maker.op == "mul":
            values = [
                self._map(name) for name in (maker.arguments["self"], maker.arguments["other"])
            ]
            if None in values or len(maker.shape) != 5:
                return
            values.sort(key=lambda name: -math.prod(self._shapes[name or ""]))
            source, gate = Name(values[0]), Name(values[1])
            shape = self._shapes[source]
            if self._shapes[gate] not in (shape, (*shape[:2], 1, 1)):
                return
            product = Name(f"{call.output}_product")
            yield _made(call, "mul", {"self": source, "other": gate}, product, shape)
        else:
            found = self._map(summed)
            if found is None or len(self._shapes[summed]) != 5:
                return
            product, shape = Name(found), self._shapes[found]
        _, channels, *_ = call.shape
        total: Name | None = None
        count = shape[1] // channels
        for index in range(count):
            part = Name(f"{call.output}_part_{index}")
            settings = {"self": product, "split_size": channels, "dim": 1, "index": index}
            yield _made(call, "split", settings, part)
            if total is None:
                total = part
                continue
            last = index == count - 1
            name = Name(call.output if last else f"{call.output}_sum_{index}")
            yield _made(call, "add", {"self": total, "other": part, "alpha": 1}, name)
            total = name

    def _call(self, name: str) -> Call | None:
        return self._calls.get(name)

    def _origin(self, name: str) -> str:
        """The value whose numbers these are, in this order."""
        call = self._calls.get(name)
        while call is not None and call.op in VIEWS and name not in self._made:
            source = call.arguments.get("self")
            if not isinstance(source, Name) or source not in self._shapes:
                break
            if math.prod(self._shapes[source]) != math.prod(call.shape):
                break
            name, call = source, self._calls.get(source)
        return name

    def _map(self, name: Any) -> str | None:
        """The map that a value was before it was seen in other shapes; None if it was none."""
        if not isinstance(name, Name) or name not in self._shapes:
            return None
        found = self._origin(name)
        return found if len(self._shapes[found]) == 4 else None


def _made(
    call: Call,
    op: str,
    arguments: dict[str, Any],
    output: str | None = None,
    shape: tuple[int, ...] | None = None,
) -> Call:
    """A call in the place of another, whose value it makes unless told otherwise."""
    named = {key: Name(v) if isinstance(v, str) else v for key, v in arguments.items()}
    return Call(op, output or call.output, named, call.module, shape or call.shape)


def needed(calls: Sequence[Call], outputs: Sequence[str]) -> tuple[Call, ...]:
    """The calls without those whose values nobody reads."""
    read, kept = set(outputs), []
    for call in reversed(calls):
        if call.output in read:
            kept.append(call)
            for given in call.arguments.values():
                items = given if isinstance(given, list | tuple) else (given,)
                read.update(item for item in items if isinstance(item, Name))
    return tuple(reversed(kept))
