"""What every operation says of itself; one file each in :mod:`.operations`.

An operation is a frozen dataclass, a subclass of :class:`Operation`. That alone registers it:
nothing else lists operations. Its docstring is its contract, to the last bit; its
annotations say what its fields are (:mod:`.declaration`).
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.context import Context, Run
from lbwdet.deploy.runtime.declaration import Layer, Reads, Writes, roles
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Shapes, Value
from lbwdet.deploy.runtime.weights import StoredWeight

Array = NDArray[Any]
Constant = Array | int | float


@dataclass(frozen=True)
class Example:
    """An operation with all that it needs to run by itself.

    Attributes:
        operation: reads ``values``.
        values: arrays by name, uint8 where ``quantizations`` has the name.
        quantizations: of the uint8 values, the output included.
        weights: of its layers.
        image: uint8 [H, W, 3].
        resized: height and width of the image as the network sees it, before padding; None: the
            image's own.
    """

    operation: "Operation"
    values: Mapping[str, Array]
    quantizations: Mapping[str, Quantization] = field(default_factory=dict)
    weights: Mapping[str, StoredWeight] = field(default_factory=dict)
    image: Array = field(default_factory=lambda: np.zeros((32, 32, 3), np.uint8))
    resized: tuple[int, int] | None = None


@dataclass(frozen=True)
class Operation:
    """One step of a program.

    A subclass with a name of its own is an operation, and its class's name is its ``type``
    in a file.
    """

    registry: ClassVar[dict[str, type["Operation"]]] = {}

    float32: ClassVar[str] = ""
    """What it computes in float32, in a few words; '' if that is no more than the scaling and
    rounding of integers. ``lbwdet inspect`` lists it."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if Operation.registry.setdefault(cls.__name__, cls).__module__ != cls.__module__:
            raise TypeError(
                f"{cls.__module__}: there is an operation {cls.__name__} in "
                f"{Operation.registry[cls.__name__].__module__} already"
            )
        Operation.registry[cls.__name__] = cls  # slots and reloads make a class anew

    def infer(self, shapes: Shapes) -> Value | None:
        """What the output is, for every image; None if the operation has none.

        Whether the inputs are there, and are what the fields' roles say, was checked before.

        Raises:
            ArtifactError: by ``shapes.expect``: what it reads does not fit together.
        """
        raise NotImplementedError

    def compute(self, run: Run) -> Any:
        """The output, exactly as the class says; of the last operation, the detections.

        Values that are not quantized (before calibration) are float32, and so is the result.
        """
        raise NotImplementedError

    def constants(self, context: Context) -> Mapping[str, Constant]:
        """Numbers that the native engine needs besides the fields, by name.

        Python's ints become int32, floats float32.
        """
        return {}

    def in_float32(self) -> str:
        """``float32``, unless these settings leave nothing to compute so."""
        return self.float32

    def packed_bytes(self, weights: Mapping[str, StoredWeight]) -> int:
        """What an engine keeps of its layers for this operation, at most, on every CPU."""
        return 0

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        """A random case for the contract suite; a few hundred meet all that matters."""
        raise NotImplementedError

    def reads(self) -> Iterator[tuple[str, Reads]]:
        """Every value that it reads, with the role of the field that names it."""
        for _, role, names in roles(self, Reads):
            for name in names:
                yield name, role

    def writes(self) -> Iterator[tuple[str, Writes]]:
        """The value that it writes; nothing of a program's last operation."""
        for _, role, names in roles(self, Writes):
            for name in names:
                yield name, role

    def layers(self) -> Iterator[str]:
        """The layers whose weights it uses."""
        for _, _, names in roles(self, Layer):
            yield from names

    @property
    def written(self) -> str:
        """Name of the value that it writes; empty if none."""
        return next((name for name, _ in self.writes()), "")

    @property
    def title(self) -> str:
        """For messages and tables: its type and what it writes."""
        return f"{type(self).__name__} {self.written}".strip()

    def renamed(self, names: Mapping[str, str]) -> "Operation":
        """The same operation on other values; names that are not in ``names`` stay."""
        changed = {}
        for name, role, _ in roles(self):
            if not isinstance(role, Layer):
                value = getattr(self, name)
                changed[name] = (
                    tuple(names.get(item, item) for item in value)
                    if isinstance(value, tuple)
                    else names.get(value, value)
                )
        return dataclasses.replace(self, **changed)
