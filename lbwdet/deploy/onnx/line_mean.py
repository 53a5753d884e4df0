from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.line_mean import LineMean


@export.register
def line_mean(operation: LineMean, values: Values) -> str:
    graph, axis = values.graph, 2 if operation.lines == "columns" else 3
    weights = graph("Sigmoid", values.read(operation.logits))
    shares = graph("Div", weights, graph("ReduceSum", weights, [axis]))
    product = graph("Mul", values.read(operation.input), shares)
    return values.store(operation.output, graph("ReduceSum", product, [axis]))
