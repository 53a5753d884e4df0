from onnx import TensorProto

from lbwdet.deploy.onnx import rows
from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.errors import ConfigError


@export.register
def detections(operation: Detections, values: Values) -> None:
    if operation.masks is not None:
        raise ConfigError(
            "ONNX export knows no masks of the image; export the detector with --boxes-only"
        )
    graph, found = values.graph, values.read(operation.input)
    labels = graph.cast(rows.column(graph, found, 5), TensorProto.INT64)
    graph.output("boxes", TensorProto.FLOAT, ["detections", 4], rows.boxes(graph, found))
    graph.output("scores", TensorProto.FLOAT, ["detections"], rows.column(graph, found, 4))
    graph.output("labels", TensorProto.INT64, ["detections"], labels)
