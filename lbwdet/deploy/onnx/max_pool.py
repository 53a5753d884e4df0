from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.max_pool import MaxPool


@export.register
def max_pool(operation: MaxPool, values: Values) -> str:
    largest = values.graph(
        "MaxPool",
        values.read(operation.input),
        kernel_shape=operation.kernel,
        strides=operation.stride,
        pads=operation.padding * 2,
    )
    return values.quantize(operation.output, largest)  # numbers come out as they went in
