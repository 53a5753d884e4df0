"""What the operations' Python files say of their fields, for the browser's reader.

A description of a type is an object with ``is``: ``bool``, ``int``, ``float``, ``text``,
``choice`` (``of``: texts), ``list`` (``of``: a description), ``tuple`` (``of``: several),
``optional`` (``of``), ``record`` (``name``), ``union`` (``of``: names of records). A field has
such a type, and, if its annotations say so, ``range``, ``length``, ``reads`` or ``writes`` (kinds
of values), ``like``, ``steps``, ``layer``; and its ``default``.
"""

import dataclasses
import json
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from lbwdet.deploy.runtime.artifact import FORMAT_VERSION
from lbwdet.deploy.runtime.declaration import Kind, Layer, Length, Range, Reads, Writes, markers
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.operations import every_operation
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.validate import MAX_OPERATIONS, MAX_WEIGHTS
from lbwdet.deploy.runtime.weight_entry import WeightEntry
from lbwdet.deploy.runtime.weights import TWO_TERM
from lbwdet.limits import MAX_PIXELS

_HERE = Path(__file__).resolve().parent
_SINGLE = {bool: "bool", int: "int", float: "float", str: "text"}


def module_text() -> str:
    """The generated module ``built/declarations.js``."""
    return "// Made by web/build.py from the operations' Python files.\nexport default " + (
        json.dumps(declarations(), separators=(",", ":")) + ";\n"
    )


def operations_text() -> str:
    """The generated module ``built/operations.js``: it imports every file of the folder."""
    files = sorted((_HERE / "lbwdet" / "operations").glob("*.js"))
    return "".join(f"import '../lbwdet/operations/{path.name}';\n" for path in files)


def declarations() -> dict[str, Any]:
    """All that the browser's reader has to know, as JSON."""
    records: dict[str, Any] = {}
    for kind in (Quantization, WeightEntry):
        _record(kind, records)
    operations = {
        name: kind
        for name, kind in every_operation().items()
        if kind.__module__.startswith("lbwdet.deploy.runtime.operations.")
    }
    for kind in operations.values():
        _record(kind, records)
    return {
        "formatVersion": FORMAT_VERSION,
        "maxPixels": MAX_PIXELS,
        "maxWeights": MAX_WEIGHTS,
        "maxOperations": MAX_OPERATIONS,
        "twoTerm": {str(bits): list(levels) for bits, levels in TWO_TERM.items()},
        "records": records,
        "operations": list(operations),
        # Those that need numbers besides their fields, each a file in web/lbwdet/operations.
        "withConstants": [
            name for name, kind in operations.items() if kind.constants is not Operation.constants
        ],
    }


def _record(kind: Any, records: dict[str, Any]) -> None:
    if kind.__name__ in records:
        return
    fields = records[kind.__name__] = {}
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        described = _type(hints[field.name], records)
        for marker in markers(kind)[field.name]:
            described |= _marked(marker)
        if field.default is not dataclasses.MISSING:
            described["default"] = field.default
        fields[field.name] = described


def _marked(marker: Any) -> dict[str, Any]:
    if isinstance(marker, Range):
        return {"range": [marker.low, marker.high]}
    if isinstance(marker, Length):
        return {"length": [marker.low, marker.high]}
    if isinstance(marker, Layer):
        return {"layer": True}
    assert isinstance(marker, Reads | Writes)
    said: dict[str, Any] = {"steps": marker.steps}
    said["reads" if isinstance(marker, Reads) else "writes"] = _kinds(marker.kind)
    if isinstance(marker, Writes) and marker.quantized_like is not None:
        said["like"] = marker.quantized_like
    return said


def _kinds(kind: Kind) -> list[str]:
    return [str(single.name).lower() for single in kind]


def _type(hint: Any, records: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _type(arguments[0], records)
    if hint in _SINGLE:
        return {"is": _SINGLE[hint]}
    if origin is Literal:
        return {"is": "choice", "of": list(arguments)}
    if origin is tuple and arguments[1:] == (Ellipsis,):
        return {"is": "list", "of": _type(arguments[0], records)}
    if origin is tuple:
        return {"is": "tuple", "of": [_type(item, records) for item in arguments]}
    if origin in (Union, types.UnionType) and type(None) in arguments:
        (inner,) = (item for item in arguments if item is not type(None))
        return {"is": "optional", "of": _type(inner, records)}
    members = arguments if origin in (Union, types.UnionType) else (hint,)
    for member in members:
        assert dataclasses.is_dataclass(member), f"{hint} has no description for the browser"
        _record(member, records)
    names = [member.__name__ for member in members]
    if len(names) == 1:
        return {"is": "record", "name": names[0]}
    return {"is": "union", "of": names}
