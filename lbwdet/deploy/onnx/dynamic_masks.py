from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.dynamic_masks import DynamicMasks
from lbwdet.errors import ConfigError


@export.register
def dynamic_masks(operation: DynamicMasks, values: Values) -> str:
    """Masks of the image have no export either."""
    raise ConfigError("ONNX export knows no masks by kernels that are predicted at places")
