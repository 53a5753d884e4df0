"""How an operation becomes nodes of a graph; one file each beside this one."""

import functools

from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.errors import ConfigError


@functools.singledispatch
def export(operation: Operation, values: Values) -> str | None:
    """Appends the nodes of an operation.

    ``@export.register`` above a function whose first argument is annotated with the operation's
    class is all that makes an operation one that can be exported.

    Args:
        operation: maps are [n, c, h, w], boxes [n, 4], candidates [n, 7].
        values: what was written before, layers and the graph.

    Returns:
        The tensor that holds its output as it is stored; None of the last operation, which
        writes the model's outputs.

    Raises:
        ConfigError: there is no export for it, or not with these settings.
    """
    known = sorted(kind.__name__ for kind in export.registry if kind is not object)
    raise ConfigError(
        f"ONNX export knows no {type(operation).__name__}; it knows {', '.join(known)}"
    )
