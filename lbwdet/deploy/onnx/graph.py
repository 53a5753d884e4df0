"""Writes an ONNX graph node by node."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[Any]
Constant = Array | np.generic | float | int | Sequence[int]
Operand = str | Constant

OPSET = 17  # RoiAlign with half pixels needs 16
IR_VERSION = 8  # what came with this opset


class Graph:
    """A growing graph; tensors are named by strings.

    ``graph("Add", x, 1.0)`` appends a node and returns the name of its output. Operands
    are tensors, or constants: arrays, floats (float32), ints and lists of ints (int64).

    Attributes:
        note: what the nodes that follow are there for; they keep it as their ``doc_string``.

    >>> from onnx import TensorProto
    >>> graph = Graph()
    >>> graph.input("x", TensorProto.FLOAT, ["n"])
    >>> graph.output("y", TensorProto.FLOAT, ["n"], graph("Add", "x", 1.0))
    >>> [node.op_type for node in graph.model({}).graph.node]
    ['Add', 'Identity']
    """

    def __init__(self) -> None:
        self.note = ""
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def __call__(self, operation: str, *operands: Operand, **attributes: Any) -> str:
        return self.several(operation, 1, *operands, **attributes)[0]

    def several(
        self, operation: str, outputs: int, *operands: Operand, **attributes: Any
    ) -> tuple[str, ...]:
        """A node with several outputs."""
        names = [op if isinstance(op, str) else self.constant(op) for op in operands]
        stem = f"{operation}/{len(self._nodes)}"  # unlike the names that values have
        found = tuple(f"{stem}.{index}" if outputs > 1 else stem for index in range(outputs))
        self._nodes.append(
            helper.make_node(operation, names, found, name=stem, doc_string=self.note, **attributes)
        )
        return found

    def constant(self, value: Constant) -> str:
        """A constant tensor."""
        name = f"Constant/{len(self._constants)}"
        # numpy's own scalars keep their type, Python's floats become float32
        array = np.asarray(value, np.float32 if type(value) is float else None)
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def cast(self, tensor: str, kind: int) -> str:
        return self("Cast", tensor, to=kind)

    def rename(self, tensor: str, name: str) -> str:
        """Gives a tensor a name that readers of the model know."""
        self._nodes.append(helper.make_node("Identity", [tensor], [name], name=name))
        return name

    def input(self, name: str, kind: int, shape: Sequence[int | str]) -> None:
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))

    def output(self, name: str, kind: int, shape: Sequence[int | str], tensor: str) -> None:
        self.rename(tensor, name)
        self._outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def model(self, metadata: dict[str, str]) -> onnx.ModelProto:
        """The finished model, checked.

        Raises:
            onnx.checker.ValidationError: the graph is not what ONNX allows.
        """
        graph = helper.make_graph(
            self._nodes, "lbwdet", self._inputs, self._outputs, self._constants
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="lbwdet",
        )
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model
