from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.picked import Picked
from lbwdet.errors import ConfigError


@export.register
def picked(operation: Picked, values: Values) -> str:
    """It is there for masks alone, which have no export either."""
    raise ConfigError("ONNX export knows no masks by kernels that are predicted at places")
