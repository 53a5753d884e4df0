"""The heads, one file each; importing this package registers them."""

import importlib
import pkgutil

from lbwdet.deploy.lower.head import HEADS

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["HEADS"]
