"""A lowered detector: operations on named values, and how integers stand for reals.

A :class:`Program` is a flat list of operations on named values. It has no
shapes: the size of the image is free, the sizes of all values follow from it.

**Values.** Feature maps are uint8 arrays ``[n, h, w, c]`` that stand for the real
numbers ``(q - zero_point) * scale`` (:class:`Quantization`), or float32 arrays of
that shape. Boxes are float32 ``[n, 4]``: x1, y1, x2, y2 in pixels of the resized image.
Candidates are float32 ``[n, 7]``: a box, its score, its class, its level.

**Arithmetic.** Integer arithmetic is exact. Where float32 is used, every product,
sum, quotient and square root is rounded by itself to the nearest float32 (ties to
even), in the order written in the operation; no multiplication is fused with an addition.
A number of the program (a threshold, a standard deviation) that meets a float32 is first
rounded to float32.
Therefore every engine that follows these pages gives the same bytes.
``rint`` rounds to the nearest integer, ties to even. ``f32`` rounds to float32.

**Reals.** A value that ``quantizations`` does not name is not rounded: an operation's
``compute`` then gives the real numbers that its integers would stand for. That is how a program
runs before it is calibrated.
"""

import itertools

from lbwdet.deploy.runtime.declaration import Kind
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.record import dataclass


@dataclass(frozen=True)
class Program:
    """A detector: operations in the order of execution.

    Attributes:
        operations: the first reads only the image, the last writes no value but is the result;
            a value is written before it is read.
        quantizations: of every uint8 value, by name; a map that is not in it is float32.
    """

    operations: tuple[Operation, ...]
    quantizations: dict[str, Quantization]

    @property
    def dense(self) -> tuple[Operation, ...]:
        """What is computed on the whole image: the operations before the first boxes."""
        return tuple(
            itertools.takewhile(
                lambda operation: all(role.kind in Kind.MAP for _, role in operation.writes()),
                self.operations,
            )
        )

    @property
    def has_masks(self) -> bool:
        """Whether the result has the pixels of each detection, too."""
        last = self.operations[-1]
        return isinstance(last, Detections) and last.masks is not None
