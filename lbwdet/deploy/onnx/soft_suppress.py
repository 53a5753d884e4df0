from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.soft_suppress import SoftSuppress
from lbwdet.errors import ConfigError


@export.register
def soft_suppress(operation: SoftSuppress, values: Values) -> str:
    raise ConfigError(
        f"{operation.output}: ONNX export knows no soft suppression, whose scores change from box "
        "to box; the .lbw file runs in the engine"
    )
