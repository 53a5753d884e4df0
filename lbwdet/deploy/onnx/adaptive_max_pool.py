from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.adaptive_max_pool import AdaptiveMaxPool
from lbwdet.errors import ConfigError


@export.register
def adaptive_max_pool(operation: AdaptiveMaxPool, values: Values) -> str:
    raise ConfigError(
        f"{operation.output}: ONNX export knows no maximum of shares whose size the image decides"
    )
