"""Level sets and projections: pure tensor maths."""

from typing import Any

from lbwdet.errors import ConfigError
from lbwdet.quantizers.activation import (
    ALPHA_GRADIENTS,
    ESTIMATORS,
    ActivationSettings,
    NonFiniteActivationError,
    quantized_relu,
    uniform_quantize,
)
from lbwdet.quantizers.base import (
    GRANULARITIES,
    NonFiniteWeightError,
    QuantizedWeight,
    WeightQuantizer,
)
from lbwdet.quantizers.binary import BinaryQuantizer
from lbwdet.quantizers.levels import (
    BIT_WIDTHS,
    CODES,
    FLOAT_BIT_WIDTH,
    check_bit_width,
    num_magnitudes,
)
from lbwdet.quantizers.power_of_two import PowerOfTwoQuantizer
from lbwdet.quantizers.relative_error import relative_error
from lbwdet.quantizers.resolution import best_relu_alpha, best_uniform_alpha
from lbwdet.quantizers.ternary import SortQuantizer
from lbwdet.quantizers.threshold import ThresholdQuantizer
from lbwdet.quantizers.two_term import TwoTermQuantizer

# All of them choose levels by the weight alone. Solver 'data' is none of these: it needs the
# layer's inputs. What it chooses (lbwdet.posttraining) is stored in the master weights, as levels
# exactly, and 'exact' leaves those as they are.
SOLVERS: dict[str, type[WeightQuantizer]] = {
    "exact": PowerOfTwoQuantizer,
    "threshold": ThresholdQuantizer,
    "sort": SortQuantizer,
}


def build_quantizer(
    bit_width: int = 6,
    code: str = "paper",
    solver: str = "exact",
    granularity: str = "tensor",
    **options: Any,
) -> WeightQuantizer | None:
    """The quantizer that a config asks for; None for 32 bits, the float model.

    Args:
        bit_width: 1 to 8, or 32.
        code: ``'paper'``, ``'dense'`` or ``'two-term'`` (4 to 6 bits, ``'exact'``); of no
            matter at 1 bit.
        solver: ``'exact'``, ``'threshold'`` (takes ``mu``) or ``'sort'`` (2 bits). What looks at
            inputs, solver ``'data'``, is :func:`lbwdet.posttraining.post_train`.
        granularity: ``'tensor'`` or ``'channel'``.
        options: arguments of that solver alone.

    Raises:
        ConfigError: an unknown name, or a combination that does not exist.
    """
    bit_width = check_bit_width(bit_width)
    if solver == "data":
        raise ConfigError(
            "solver='data' chooses levels by a layer's inputs, of which its weight knows nothing: "
            "run lbwdet quantize --post-training, whose weights solver='exact' leaves as they are"
        )
    if solver not in tuple(SOLVERS):  # a list has no hash
        raise ConfigError(f"solver={solver!r} is not known; choose one of {', '.join(SOLVERS)}")
    is_float = bit_width == FLOAT_BIT_WIDTH
    if is_float:  # the other settings are those of its neighbours, and must be possible, too
        bit_width = 2 if solver == "sort" else 4
    quantizer = SOLVERS[solver]
    if solver == "exact" and code == "two-term":
        quantizer = TwoTermQuantizer
    elif solver == "exact" and bit_width == 1:
        quantizer = BinaryQuantizer
    try:
        made = quantizer(bit_width, code=code, granularity=granularity, **options)
    except TypeError as error:
        raise ConfigError(
            f"solver={solver!r} does not take the options {sorted(options)}; "
            "mu belongs to solver='threshold'"
        ) from error
    return None if is_float else made


__all__ = [
    "ALPHA_GRADIENTS",
    "BIT_WIDTHS",
    "CODES",
    "ESTIMATORS",
    "FLOAT_BIT_WIDTH",
    "GRANULARITIES",
    "SOLVERS",
    "ActivationSettings",
    "BinaryQuantizer",
    "NonFiniteActivationError",
    "NonFiniteWeightError",
    "PowerOfTwoQuantizer",
    "QuantizedWeight",
    "SortQuantizer",
    "ThresholdQuantizer",
    "TwoTermQuantizer",
    "WeightQuantizer",
    "best_relu_alpha",
    "best_uniform_alpha",
    "build_quantizer",
    "check_bit_width",
    "num_magnitudes",
    "quantized_relu",
    "relative_error",
    "uniform_quantize",
]
