from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.depth_to_space import DepthToSpace


@export.register
def depth_to_space(operation: DepthToSpace, values: Values) -> str:
    # In reals, since engines know it of floats; rounding them again changes nothing.
    real = values.read(operation.input)
    blocks = values.graph("DepthToSpace", real, blocksize=operation.factor, mode="DCR")
    return values.quantize(operation.output, blocks)
