from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.matrix_suppress import MatrixSuppress
from lbwdet.errors import ConfigError


@export.register
def matrix_suppress(operation: MatrixSuppress, values: Values) -> str:
    """Masks of the image have no export either."""
    raise ConfigError("ONNX export knows no suppression of masks")
