from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.query_masks import QueryMasks
from lbwdet.errors import ConfigError


@export.register
def query_masks(operation: QueryMasks, values: Values) -> str:
    """Masks of the image have no export either."""
    raise ConfigError("ONNX export knows no masks of queries; the .lbw file runs in the engine")
