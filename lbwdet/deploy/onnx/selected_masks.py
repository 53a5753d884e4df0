from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.selected_masks import SelectedMasks
from lbwdet.errors import ConfigError


@export.register
def selected_masks(operation: SelectedMasks, values: Values) -> str:
    """Masks of the image have no export either."""
    raise ConfigError("ONNX export knows no masks that are channels of a map")
