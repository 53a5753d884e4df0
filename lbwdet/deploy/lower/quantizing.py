"""Predictions that somebody else reads as feature maps."""

import dataclasses
from collections.abc import Sequence

from lbwdet.deploy.runtime.declaration import Kind, Reads, roles
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.operations.quantize import Quantize


def quantize_predictions(operations: Sequence[Operation]) -> list[Operation]:
    """The operations, with a copy in integers of every float32 map that is read in integers.

    A map is float32 if one of its readers, or its writer, has nothing else; one that can only be
    written in integers stays as it is.
    """
    written = {name: role.kind for operation in operations for name, role in operation.writes()}
    exact = {name for name, kind in written.items() if kind is Kind.FLOAT}
    for operation in operations:
        for name, reads in operation.reads():
            if reads.kind is Kind.FLOAT and written.get(name) is Kind.MAP:
                exact.add(name)
    found: list[Operation] = []
    copies: dict[str, str] = {}
    for operation in operations:
        changed = {}
        for field, role, names in roles(operation):
            if not isinstance(role, Reads) or role.kind is not Kind.UINT8:
                continue
            for name in names:
                if name in exact and name not in copies:
                    copies[name] = f"{name}@integers"
                    found.append(Quantize(name, copies[name]))
            if exact.intersection(names):
                value = getattr(operation, field)
                changed[field] = (
                    tuple(copies.get(name, name) for name in value)
                    if isinstance(value, tuple)
                    else copies[value]
                )
        found.append(dataclasses.replace(operation, **changed) if changed else operation)
    return found
