from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.global_average_pool import GlobalAveragePool


@export.register
def global_average_pool(operation: GlobalAveragePool, values: Values) -> str:
    average = values.graph("GlobalAveragePool", values.read(operation.input))
    return values.store(operation.output, average)
