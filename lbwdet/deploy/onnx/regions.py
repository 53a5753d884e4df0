from lbwdet.deploy.onnx import rows
from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.regions import Regions


@export.register
def regions(operation: Regions, values: Values) -> str:
    return rows.boxes(values.graph, values.read(operation.input))
