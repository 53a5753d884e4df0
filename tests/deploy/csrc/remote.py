"""The engine in a program at the end of two pipes, ``csrc/tests/remote.cpp``, as if it were loaded.

For libraries of other CPUs, which no Python of this one can load: an emulator runs the program,
and whatever is asked of a library in ctypes can be asked of it.
"""

import ctypes
import math
import struct
import subprocess
from collections.abc import Sequence
from typing import Any

from lbwdet.deploy.runtime.native_library import FieldKind

_SIZES = {kind: 1 for kind in FieldKind} | {
    kind: 4 for kind in (FieldKind.INT32, FieldKind.FLOAT32, FieldKind.VALUE)
}


class RemoteLibrary:
    """The functions of ``lbw.h`` that engines are made and run with.

    Args:
        command: starts the program.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._is_float: dict[tuple[int, int], bool] = {}  # by engine and value
        self._numbers: dict[tuple[int, int], int] = {}

    def close(self) -> None:
        """Ends the program."""
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def lbw_abi(self) -> int:
        return self._call("lbw_abi")

    def lbw_last_error(self) -> bytes | None:
        return self._text(self._call("lbw_last_error"))

    def lbw_isa_name(self, index: int) -> bytes | None:
        return self._text(self._call("lbw_isa_name", index))

    def lbw_isa_supported(self, index: int) -> int:
        return self._call("lbw_isa_supported", index)

    def lbw_create(self, isa: bytes | None, threads: int, memory: int, work: int) -> int | None:
        return self._call("lbw_create", isa, threads, memory, work) or None

    def lbw_destroy(self, engine: int) -> None:
        self._call("lbw_destroy", engine)

    def lbw_isa(self, engine: int) -> bytes | None:
        return self._text(self._call("lbw_isa", engine))

    def lbw_add_value(self, engine: int, is_float: bool, *described: int) -> int:
        value = self._call("lbw_add_value", engine, is_float, *described)
        self._is_float[engine, value] = is_float
        return value

    def lbw_add(self, engine: int, operation: bytes, fields: Any, count: int) -> int:
        arguments: list[int | bytes | None] = []
        for field in fields[:count]:
            size = field.count * _SIZES[field.kind]
            content = ctypes.string_at(field.data, size) if field.data else None
            arguments += [field.name, field.kind, field.count, content]
        return self._call("lbw_add", engine, operation, count, *arguments)

    def lbw_run(self, engine: int, image: int, height: int, width: int, keep: bool) -> int:
        pixels = ctypes.string_at(image, height * width * 3)
        return self._call("lbw_run", engine, pixels, height, width, keep)

    def lbw_result(self, engine: int, capacity: int, boxes: int, scores: int, labels: int) -> int:
        count = self._call("lbw_result", engine, capacity)
        for pointer, size in ((boxes, 16), (scores, 4), (labels, 8)):
            ctypes.memmove(pointer, self._read(size * capacity), size * capacity)
        return count

    def lbw_mask(self, engine: int, index: int, capacity: int, runs: int | None) -> int:
        count = self._call("lbw_mask", engine, index, capacity)
        if capacity:
            ctypes.memmove(runs, self._read(4 * capacity), 4 * capacity)
        return count

    def lbw_value_shape(self, engine: int, value: int, shape: int) -> int:
        result = self._call("lbw_value_shape", engine, value)
        sides = self._read(32)
        ctypes.memmove(shape, sides, 32)
        self._numbers[engine, value] = math.prod(struct.unpack("<4q", sides))
        return result

    def lbw_value(self, engine: int, value: int, out: int) -> int:
        """Of a value whose shape was asked for."""
        room = self._numbers[engine, value] * (4 if self._is_float[engine, value] else 1)
        result = self._call("lbw_value", engine, value, room)
        ctypes.memmove(out, self._read(room), room)
        return result

    def _call(self, function: str, *arguments: int | bytes | None) -> int:
        for argument in (function.encode(), *arguments):
            if isinstance(argument, int):
                self._process.stdin.write(struct.pack("<q", argument))
            else:
                content = argument or b""
                size = -1 if argument is None else len(content)
                self._process.stdin.write(struct.pack("<q", size) + content)
        self._process.stdin.flush()
        return self._number()

    def _number(self) -> int:
        (number,) = struct.unpack("<q", self._read(8))
        return number

    def _text(self, count: int) -> bytes | None:
        return None if count < 0 else self._read(count)

    def _read(self, count: int) -> bytes:
        content = self._process.stdout.read(count)
        assert len(content) == count, f"the engine's program ended: {self._process.wait(30)}"
        return content
