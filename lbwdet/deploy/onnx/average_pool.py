import numpy as np

from lbwdet.deploy.onnx.max_pool import pads
from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.average_pool import AveragePool
from lbwdet.deploy.runtime.shapes import Map
from lbwdet.errors import ConfigError


@export.register
def average_pool(operation: AveragePool, values: Values) -> str:
    graph, real = values.graph, values.read(operation.input)
    window = dict(kernel_shape=operation.kernel, strides=operation.stride, pads=pads(operation))
    if not operation.count_padding:
        return values.store(operation.output, graph("AveragePool", real, **window))
    if operation.ceil:
        raise ConfigError("ONNX export knows no AveragePool with both count_padding and ceil")
    # Not count_include_pad: OpenVINO 2026.4 pads a uint8 map with 0 instead of its zero point.
    source = values.shapes[operation.input]
    assert isinstance(source, Map)  # programs are checked
    share = 1 / (operation.kernel[0] * operation.kernel[1])
    weight = np.full((source.channels, 1, *operation.kernel), share, np.float32)
    averages = graph("Conv", real, weight, group=source.channels, **window)
    return values.store(operation.output, averages)
