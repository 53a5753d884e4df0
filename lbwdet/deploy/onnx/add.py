from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.add import Add


@export.register
def add(operation: Add, values: Values) -> str:
    graph = values.graph
    total, *others = (values.read(name) for name in operation.inputs)
    for other in others:
        total = graph("Add", total, other)
    return values.store(operation.output, graph("Relu", total) if operation.relu else total)
