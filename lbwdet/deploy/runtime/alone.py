"""One operation by itself, in either engine: how the contract of each is tried.

>>> import numpy as np
>>> from lbwdet.deploy.runtime.operations.add import Add
>>> example = Add.example(np.random.default_rng(0))
>>> compute_alone(example).dtype
dtype('uint8')
"""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime import native_library, random_cases
from lbwdet.deploy.runtime.context import LayerNumbers, Run
from lbwdet.deploy.runtime.declaration import Kind
from lbwdet.deploy.runtime.native_library import Field, NativeError
from lbwdet.deploy.runtime.native_program import Fields, field, native_value
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.shapes import Map, Rows, Side, Value
from lbwdet.deploy.runtime.validate import check_operations
from lbwdet.deploy.runtime.weights import StoredWeight

Array = NDArray[Any]
_LIMIT = 1 << 40


def compute_alone(example: Example) -> Any:
    """What the operation's own ``compute`` makes of an example."""
    return example.operation.compute(_run(example))


def check_alone(example: Example) -> Value | None:
    """What validation finds the operation's output to be, given the example's values.

    Raises:
        ArtifactError: as for a whole program.
    """
    roles = dict(example.operation.reads())
    rows = next((n for n, role in roles.items() if role.kind in Kind.BOXES | Kind.CANDIDATES), "")
    given: dict[str, Value] = {}
    for name, array in example.values.items():
        kind = roles[name].kind
        if kind in (Kind.BOXES, Kind.CANDIDATES):
            classes = getattr(example.operation, "num_classes", random_cases.CLASSES)
            given[name] = Rows(kind, classes, count=len(array))
        else:
            n, h, w, c = array.shape
            # Of boxes alone one could not tell the maps that are cut from.
            single = h == w == 1 or roles.get(rows, roles[name]).kind is Kind.CANDIDATES
            of_rows = rows if rows and n == len(example.values[rows]) and single else ""
            given[name] = Map(c, Side(0, h), Side(0, w), of_rows, example.quantizations.get(name))
    found = check_operations([example.operation], example.quantizations, example.weights, given)
    return found.get(example.operation.written)


def run_alone(
    example: Example, library: ctypes.CDLL | None = None, **settings: Any
) -> Array | tuple[Any, ...]:
    """What the native engine makes of an example; arguments as of :class:`NativeAlone`."""
    with NativeAlone(example, library, **settings) as engine:
        return engine.run()


class NativeAlone:
    """The native engine with one operation, its inputs given.

    Args:
        example: what to run.
        library: another build than that of this installation.
        isa: instruction set; None: the CPU's best.
        threads: of the engine.
        border: pixels around every uint8 map, inputs and output alike, besides those that the
            operation asks for.
        memory_limit, work_limit: of the engine.

    Raises:
        NativeError: the library refuses it.
    """

    def __init__(
        self,
        example: Example,
        library: ctypes.CDLL | None = None,
        isa: str | None = None,
        threads: int = 1,
        border: int = 0,
        memory_limit: int = _LIMIT,
        work_limit: int = _LIMIT,
    ) -> None:
        self._library = library or native_library.load(native_library.library_path())
        self._example = four_dimensional(example)
        self._engine = self._library.lbw_create(
            None if isa is None else isa.encode(), threads, memory_limit, work_limit
        )
        if self._engine is None:
            raise self._error()
        try:
            self._describe(border)
        except BaseException:
            self.close()
            raise

    def run(self) -> Array | tuple[Any, ...]:
        """The output, or the detections, with their masks if they have any."""
        example = self._example
        image = np.ascontiguousarray(example.image)
        count = self._library.lbw_run(self._engine, image.ctypes.data, *image.shape[:2], True)
        if count < 0:
            raise self._error()
        written = example.operation.written
        if not written:
            boxes, scores = np.empty((count, 4), np.float32), np.empty(count, np.float32)
            labels = np.empty(count, np.int64)
            pointers = (array.ctypes.data for array in (boxes, scores, labels))
            self._library.lbw_result(self._engine, count, *pointers)
            if len(example.values) == 1:
                return boxes, scores, labels
            masks = native_library.read_masks(self._library, self._engine, count)
            return boxes, scores, labels, masks
        described, shape = self._values[written], np.zeros(4, np.int64)
        if self._library.lbw_value_shape(self._engine, described.index, shape.ctypes.data) < 0:
            raise self._error()
        value = np.empty(tuple(shape), np.float32 if described.is_float else np.uint8)
        if self._library.lbw_value(self._engine, described.index, value.ctypes.data) < 0:
            raise self._error()
        ((_, role),) = example.operation.writes()
        return value.reshape(-1, shape[-1]) if role.kind in Kind.BOXES | Kind.CANDIDATES else value

    def weight_bytes(self) -> int:
        """Of packed weights."""
        weights, values = ctypes.c_int64(), ctypes.c_int64()
        self._library.lbw_memory(self._engine, ctypes.byref(weights), ctypes.byref(values))
        return weights.value

    def close(self) -> None:
        """Frees the engine."""
        engine, self._engine = self._engine, None
        if engine is not None:
            self._library.lbw_destroy(engine)

    def __enter__(self) -> "NativeAlone":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _describe(self, border: int) -> None:
        example, run = self._example, _run(self._example, LayerNumbers.coded)
        names = [*example.values, *filter(None, [example.operation.written])]
        self._values = {
            name: native_value(index, name, example.quantizations)
            for index, name in enumerate(names)
        }
        for value in self._values.values():
            self._expect(
                self._library.lbw_add_value(
                    self._engine,
                    value.is_float,
                    value.zero_point,
                    value.maximum,
                    value.ceil,
                    border,
                )
            )
        for name, array in example.values.items():
            resized = np.array(run.resized, np.int32)
            part = "bytes" if array.dtype == np.uint8 else "floats"
            index = np.array([self._values[name].index], np.int32)
            self._add(
                b"Given",
                [
                    field("output", index, native_library.FieldKind.VALUE),
                    field("shape", np.array(array.shape, np.int32)),
                    field(part, array),
                    field("resized", resized),
                ],
            )
        fields = Fields(example.operation, run, self._values)
        kind = type(example.operation).__name__.encode()
        self._expect(self._library.lbw_add(self._engine, kind, fields.array, len(fields)))

    def _add(self, kind: bytes, fields: Sequence[Field]) -> None:
        array = (Field * len(fields))(*fields)
        self._expect(self._library.lbw_add(self._engine, kind, array, len(fields)))

    def _expect(self, result: int) -> None:
        if result < 0:
            raise self._error()

    def _error(self) -> NativeError:
        return NativeError(self._library.lbw_last_error().decode())


def _run(
    example: Example, numbers: Callable[[StoredWeight], LayerNumbers] = LayerNumbers.integer
) -> Run:
    layers = {name: numbers(weight) for name, weight in example.weights.items()}
    run = Run(example.quantizations, layers, example.image)
    run.values.update(example.values)
    run.resized = run.bounds = example.resized or run.resized
    return run


def four_dimensional(example: Example) -> Example:
    """Boxes and candidates as maps of one pixel, which the library takes them for."""
    values = {
        name: array if array.ndim == 4 else array.reshape(len(array), 1, 1, array.shape[-1])
        for name, array in example.values.items()
    }
    return replace(example, values={n: np.ascontiguousarray(v) for n, v in values.items()})
