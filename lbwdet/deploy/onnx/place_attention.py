from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.place_attention import PlaceAttention
from lbwdet.errors import ConfigError


@export.register
def place_attention(operation: PlaceAttention, values: Values) -> str:
    raise ConfigError(
        f"{operation.output}: ONNX export knows no attention by places alone; the .lbw file runs "
        "in the engine"
    )
