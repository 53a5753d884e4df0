"""What MMDetection needs from its environment and may not find.

Importing this package puts the missing pieces in place; it does nothing where
nothing is missing. Import it before anything that imports ``mmcv.ops``.
"""

from lbwdet.compat.checkpoints import allow_mmengine_types
from lbwdet.compat.extension import MissingOperatorError, install_extension

__all__ = ["MissingOperatorError", "allow_mmengine_types", "install_extension"]

install_extension()
allow_mmengine_types()
