from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.sampled_boxes import SampledBoxes
from lbwdet.errors import ConfigError


@export.register
def sampled_boxes(operation: SampledBoxes, values: Values) -> str:
    raise ConfigError(
        "ONNX export knows no SampledBoxes, by which TOOD aligns its boxes; the native engine runs "
        "the artifact"
    )
