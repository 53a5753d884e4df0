"""Programs as ONNX models for other engines; needs the extra ``engines``.

One file per operation; importing this package registers them
(:func:`~lbwdet.deploy.onnx.operation.export`), nothing lists them.
"""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
