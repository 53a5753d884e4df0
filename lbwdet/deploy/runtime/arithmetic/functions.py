"""Element-wise functions that a table of 256 entries stands for, in float64.

Built from exact operations and the exponential of :mod:`.boxes` alone, never from the C
library's, so that a table is the same on every machine.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.arithmetic.boxes import exp
from lbwdet.deploy.runtime.record import dataclass

Array = NDArray[Any]


@dataclass(frozen=True)
class Function:
    """A function of reals.

    Attributes:
        parameters: names of the numbers that it takes besides its argument.
        of: the function, of a float64 array and the parameters.
    """

    parameters: tuple[str, ...]
    of: Callable[..., Array]


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``, the argument clamped to ±700."""
    return np.asarray(1 / (1 + exp(np.clip(-x, -700, 700))))


def tanh(x: Array) -> Array:
    """``2 * sigmoid(2x) - 1``."""
    return 2 * sigmoid(2 * x) - 1


def power(x: Array) -> Array:
    """``exp(x)``, the argument clamped to ±80: float32 holds it."""
    return np.asarray(exp(np.clip(x, -80, 80)))


def erf(x: Array) -> Array:
    """``2 / sqrt(pi) * exp(-x**2) * sum over n of 2**n x**(2n+1) / (2n+1)!!``; ±1 from ±6 on."""
    sign, beyond = np.sign(x), np.abs(x) >= 6
    x = np.clip(x, -6, 6)
    term = x.copy()
    total = term.copy()
    for n in range(1, 160):
        term = term * (2 * x * x) / (2 * n + 1)
        total = total + term
    return np.where(beyond, sign, 1.1283791670955126 * exp(-x * x) * total)


def softplus(x: Array) -> Array:
    """``log(1 + exp(x))`` by five steps of Newton's method from ``max(x, 0)``."""
    x = np.clip(x, -700, 700)
    wanted, y = 1 + exp(x), np.maximum(x, 0) + 0.5 * exp(-np.abs(x))
    for _ in range(5):
        power = exp(y)
        y = y - (power - wanted) / power
    return np.asarray(y)


FUNCTIONS: dict[str, Function] = {
    "identity": Function((), lambda x: x),
    "relu": Function((), lambda x: np.maximum(x, 0)),
    "clamp": Function(("low", "high"), lambda x, low, high: np.clip(x, low, high)),
    "leaky_relu": Function(("slope",), lambda x, slope: np.where(x > 0, x, x * slope)),
    "elu": Function(
        ("alpha",), lambda x, alpha: np.where(x > 0, x, alpha * (exp(np.clip(x, -700, 0)) - 1))
    ),
    "sigmoid": Function((), sigmoid),
    "exp": Function((), power),
    "silu": Function((), lambda x: x * sigmoid(x)),
    "tanh": Function((), tanh),
    "gelu": Function((), lambda x: 0.5 * x * (1 + erf(x * 0.7071067811865476))),
    "gelu_tanh": Function(
        (), lambda x: 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))
    ),
    "hard_sigmoid": Function((), lambda x: np.clip(x + 3, 0, 6) / 6),
    "hard_swish": Function((), lambda x: x * np.clip(x + 3, 0, 6) / 6),
    "mish": Function((), lambda x: x * tanh(softplus(x))),
    "affine": Function(("factor", "offset"), lambda x, factor, offset: x * factor + offset),
}
