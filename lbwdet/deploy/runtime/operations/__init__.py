"""The operations of lowered detectors, one file each: what each computes, to the last bit.

Importing this package registers them (:attr:`Operation.registry`); nothing lists them.
"""

import importlib
import pkgutil

from lbwdet.deploy.runtime.operation import Operation

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["Operation"]
