"""Stands in for ``mmcv._ext``, the compiled half of mmcv, where it is absent.

``mmcv-lite`` ships mmcv's Python side only: importing ``mmcv.ops`` fails at
the first ``load_ext('_ext', ...)``. Building the compiled side takes over
twenty minutes, so the operators that detectors need come from torchvision and
plain torch instead, under the names and signatures that mmcv calls.
"""

import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

from lbwdet.errors import LBWError

EXTENSION = "mmcv._ext"


class MissingOperatorError(LBWError, NotImplementedError):
    """An operator of compiled mmcv was called and there is no replacement."""


class _Extension(types.ModuleType):
    """Has every attribute: mmcv asks for all its operators when it is imported."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        # importlib and inspect look for dunder names that must stay absent.
        if name.startswith("__"):
            raise AttributeError(f"module '{EXTENSION}' has no attribute '{name}'")
        # Imported here: operators need torchvision, `import lbwdet.compat` does not.
        from lbwdet.compat.operators import REPLACEMENTS

        function = REPLACEMENTS.get(name) or _missing(name, REPLACEMENTS)
        setattr(self, name, function)
        return function


def _missing(name: str, replaced: Sequence[str] | dict[str, Any]) -> Callable[..., Any]:
    def missing(*args: Any, **kwargs: Any) -> Any:
        raise MissingOperatorError(
            f"mmcv operator '{name}' is not available: this mmcv has no compiled extension "
            f"(mmcv-lite) and lbwdet.compat has no replacement for it. "
            f"Replaced are: {', '.join(sorted(replaced))}. "
            "Use a model without this operator, or install a compiled mmcv 2.x."
        )

    missing.__name__ = name
    return missing


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers for ``mmcv._ext`` once every other finder has declined."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != EXTENSION:
            return None
        return importlib.machinery.ModuleSpec(EXTENSION, self, origin=__file__)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Extension(spec.name, __doc__)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to execute: attributes are made when they are asked for."""


def install_extension() -> None:
    """Offers the replacement to Python's import system; repeated calls change nothing.

    The finder goes to the end of ``sys.meta_path``, so that a compiled
    ``mmcv._ext`` is always found first and stays in use.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
