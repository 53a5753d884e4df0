from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.distinct_pixels import DistinctPixels
from lbwdet.errors import ConfigError


@export.register
def distinct_pixels(operation: DistinctPixels, values: Values) -> str:
    raise ConfigError(
        f"{operation.output}: ONNX export knows no choice of pixels whose boxes do not overlap; "
        "the .lbw file runs in the engine"
    )
