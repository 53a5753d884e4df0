from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.enlarged_masks import EnlargedMasks
from lbwdet.errors import ConfigError


@export.register
def enlarged_masks(operation: EnlargedMasks, values: Values) -> str:
    """Masks of the image have no export either."""
    raise ConfigError("ONNX export knows no masks that are made larger")
