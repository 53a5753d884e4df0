"""What the document of a file says of a weight, whatever its format."""

from typing import Annotated

from lbwdet.deploy.runtime import codes
from lbwdet.deploy.runtime.declaration import Range
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.validate import MAX_WEIGHTS


@dataclass(frozen=True)
class WeightEntry:
    """What the document says of one layer's weight; the arrays say the rest.

    Attributes:
        shape: of the codes, [o, i, kh, kw].
        code, bit_width, num_magnitudes: see ``StoredWeight``.
        encoding: of the codes, see :mod:`lbwdet.deploy.runtime.codes`.
    """

    shape: Annotated[tuple[int, int, int, int], Range(1, MAX_WEIGHTS)]
    code: str
    bit_width: Annotated[int, Range(1, 8)]
    num_magnitudes: Annotated[int, Range(0, 127)]
    encoding: codes.Encoding

    @property
    def scale_array(self) -> str:
        """Name and kind of the scale: an exponent, or a float where it is no power of two."""
        return "scale" if self.code == "uniform" or self.bit_width == 1 else "scale_exponent"
