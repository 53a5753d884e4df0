"""The operations of lowered detectors, one file each: what each computes, to the last bit.

Nothing lists them: a file is imported when a program first names the operation in it.
"""

import importlib
import pkgutil
from typing import Any

from lbwdet.deploy.runtime.operation import Operation

__all__ = ["Operation", "every_operation", "operation_named"]

# By what its name and that of its class have in common.
_FILES = {module.name.replace("_", ""): module.name for module in pkgutil.iter_modules(__path__)}


def operation_named(name: Any) -> type[Operation] | None:
    """The operation that a file calls so; None if there is none.

    >>> operation_named("MaxPool").__module__
    'lbwdet.deploy.runtime.operations.max_pool'
    """
    if not isinstance(name, str):
        return None
    if name not in Operation.registry and (file := _FILES.get(name.lower())) is not None:
        importlib.import_module(f"{__name__}.{file}")
    return Operation.registry.get(name)


def every_operation() -> dict[str, type[Operation]]:
    """All that are registered, those of this package among them."""
    for file in _FILES.values():
        importlib.import_module(f"{__name__}.{file}")
    return Operation.registry
