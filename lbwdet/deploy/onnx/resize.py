from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.upsample import sides
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.resize import Resize
from lbwdet.errors import ConfigError


@export.register
def resize(operation: Resize, values: Values) -> str:
    """Linear interpolation in float32; the last bit of a quantized number may differ."""
    if operation.aligned:
        raise ConfigError("ONNX export knows no Resize whose pixels are aligned as CondInst's")
    graph, stored = values.graph, values.tensors[operation.input]
    size: str | list[int]
    if operation.like is not None:
        size = sides(graph, values.tensors[operation.like])
    elif any(operation.size):
        size = list(operation.size)
    else:
        larger = graph("Mul", sides(graph, stored), list(operation.factor))
        size = graph("Div", larger, list(operation.divisor))
    count_and_channels = graph("Slice", graph("Shape", stored), [0], [2])
    real = graph(
        "Resize",
        values.read(operation.input),
        "",
        "",
        graph("Concat", count_and_channels, size, axis=0),
        mode="linear",
        coordinate_transformation_mode=(
            "align_corners" if operation.align_corners else "half_pixel"
        ),
    )
    return values.quantize(operation.output, real)
