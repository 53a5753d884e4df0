"""The rules, a file for each kind of call; importing this package registers them."""

import importlib
import pkgutil

from lbwdet.deploy.lower.rule import RULES

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["RULES"]
