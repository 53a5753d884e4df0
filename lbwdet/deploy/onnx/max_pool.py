from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.max_pool import MaxPool
from lbwdet.deploy.runtime.pooling import Pool, more_pixels


@export.register
def max_pool(operation: MaxPool, values: Values) -> str:
    largest = values.graph(
        "MaxPool",
        values.read(operation.input),
        kernel_shape=operation.kernel,
        strides=operation.stride,
        pads=pads(operation),
    )
    return values.quantize(operation.output, largest)  # numbers come out as they went in


def pads(pool: Pool) -> tuple[int, ...]:
    """Pixels above, at the left, below, at the right; the last window reaches no further."""
    more = more_pixels(pool.stride, pool.ceil)
    return (*pool.padding, pool.padding[0] + more[0], pool.padding[1] + more[1])
