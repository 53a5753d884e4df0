r"""The two-layer model of "Understanding Straight-Through Estimator" (arXiv 1903.05662).

One sample is a matrix ``Z`` [m, n] of independent standard normal numbers. The model
``v . step(Z w)`` has binary activations, ``step(x) = 1 if x > 0 else 0``, and learns a
teacher ``(v*, w*)``, ``|w*| = 1``, by the squared loss

    l = 1/2 (v . step(Z w) - v* . step(Z w*))^2.

Everything is float64; ``v`` is [m], ``w`` is [n]. With the angle ``a`` between ``w`` and
``w*`` the population loss ``f = E[l]`` follows from

    E[step(Z w) step(Z w)^T]  = (I + 1 1^T) / 4,
    E[step(Z w) step(Z w*)^T] = ((1 - 2a/pi) I + 1 1^T) / 4,

as two half spaces at an angle ``a`` share a ``(pi - a) / 2 pi`` of the mass, and rows are
independent. The step has no gradient; the *coarse* gradient in ``w`` puts the derivative
``d`` of another function in its place,

    g = Z^T (v * d(Z w)) (v . step(Z w) - v* . step(Z w*)).

Its expectation, derived here for ``d`` of any kind, needs three vectors of one row ``z``:

    A = E[z d(z.w) 1{z.w > 0}],  B = E[z d(z.w) 1{z.w* > 0}],  C = E[z d(z.w)].

In ``E[g] = sum_ij v_i E[z_i d(z_i.w) (v_j 1{z_j.w > 0} - v*_j 1{z_j.w* > 0})]`` the terms
``i = j`` give ``|v|^2 A - (v.v*) B``. In those with ``i != j`` row ``j`` is independent and
its indicator's mean is 1/2: they give ``c C / 2`` with

    c = ((1.v)^2 - |v|^2) - ((1.v)(1.v*) - v.v*).

Hence ``E[g] = |v|^2 A - (v.v*) B + c C / 2``; see :func:`row_means` for A, B, C.
"""

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
ESTIMATORS = ("identity", "relu", "clipped_relu")
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(128)
_BATCH = 20_000  # samples at a time
_HALF_MASS = 1 / math.sqrt(2 * math.pi)  # E[x 1{x > 0}] of a standard normal x


@dataclasses.dataclass(frozen=True)
class Teacher:
    """What is to be learned: ``v`` [m] and ``w`` [n] with ``|w| = 1``."""

    v: Vector
    w: Vector

    def __post_init__(self) -> None:
        if not math.isclose(np.linalg.norm(self.w), 1, abs_tol=1e-9):
            raise ValueError(f"|w*| is {np.linalg.norm(self.w)}, the formulas are for 1")

    def angle(self, w: Vector) -> float:
        """The angle between ``w`` and ``w*``, in 0..pi, exact near both ends."""
        return _plane(w, self.w)[2]

    def spurious_minimum(self) -> tuple[Vector, Vector]:
        """The local minimum at the angle pi: ``v = (I + 11^T)^-1 (11^T - I) v*``, ``w = -w*``.

        Raises:
            ValueError: there is none, since (1.v*)^2 >= (m+1)/2 |v*|^2.
        """
        m, total = len(self.v), self.v.sum()
        if total**2 >= (m + 1) / 2 * self.v @ self.v:
            raise ValueError("this teacher has no spurious minimum: (1.v*)^2 >= (m+1)/2 |v*|^2")
        # (I + 11^T)^-1 = I - 11^T / (m + 1)
        return 2 * total / (m + 1) * np.ones(m) - self.v, -self.w


def population_loss(v: Vector, w: Vector, teacher: Teacher) -> float:
    """``f = 1/8 (v.(I+J)v - 2 v.((1 - 2a/pi) I + J)v* + v*.(I+J)v*)`` with ``J = 11^T``."""
    angle, target = teacher.angle(w), teacher.v
    both = (1 - 2 * angle / math.pi) * v @ target + v.sum() * target.sum()
    own = v @ v + v.sum() ** 2 + target @ target + target.sum() ** 2
    return float(own - 2 * both) / 8


def gradient_v(v: Vector, w: Vector, teacher: Teacher) -> Vector:
    """``df/dv = 1/4 ((I + J) v - ((1 - 2a/pi) I + J) v*)``."""
    share = 1 - 2 * teacher.angle(w) / math.pi
    gradient: Vector = (v + v.sum() - share * teacher.v - teacher.v.sum()) / 4
    return gradient


def gradient_w(v: Vector, w: Vector, teacher: Teacher) -> Vector:
    """``df/dw = -(v.v*) / (2 pi |w|) e``, ``e`` the unit vector from ``w`` to ``w*`` across ``w``.

    Zero where both are parallel: ``f`` has a kink there, symmetric in all directions.
    """
    return -(v @ teacher.v) / (2 * math.pi * np.linalg.norm(w)) * _plane(w, teacher.w)[1]


def expected_coarse_gradient(estimator: str, v: Vector, w: Vector, teacher: Teacher) -> Vector:
    """``E[g] = |v|^2 A - (v.v*) B + c C / 2``, see above; [n]."""
    a, b, c = row_means(estimator, w, teacher.w)
    own, with_teacher = v @ v, v @ teacher.v
    others = v.sum() ** 2 - own - v.sum() * teacher.v.sum() + with_teacher
    result: Vector = own * a - with_teacher * b + others / 2 * c
    return result


def row_means(estimator: str, w: Vector, w_star: Vector) -> tuple[Vector, Vector, Vector]:
    """The vectors A, B, C of the module's derivation, for ``|w*| = 1``.

    In the plane of ``w`` and ``w*`` with polar coordinates around ``w``, let ``u`` be the
    direction of ``w`` and ``e`` that of ``w*`` across it. A standard normal row has mean
    ``sin(b/2) / sqrt(2 pi)`` along the axis of a wedge of opening ``b``. So:

    - identity, ``d = 1``: A = u / sqrt(2 pi), B = w* / sqrt(2 pi), C = 0.
    - relu, ``d(x) = 1{x > 0}``: A = C = u / sqrt(2 pi); B is the mean over the wedge of
      opening pi - a: cos(a/2) / sqrt(2 pi) along ``(u + w*) / |u + w*|``.
    - clipped relu, ``d(x) = 1{0 < x < 1}``: as relu, but the radius ends where ``z.w = 1``:
      A = C = p(0) u, B = p(a) u + q(a) e with

          p(a), q(a) = 1/(2 pi) * integral over t from a - pi/2 to pi/2 of
                       (cos t, sin t) * R(1 / (|w| cos t)),
          R(x) = integral of r^2 exp(-r^2/2) from 0 to x
               = sqrt(pi/2) erf(x / sqrt 2) - x exp(-x^2/2).

    Raises:
        ValueError: an unknown estimator.
    """
    norm = float(np.linalg.norm(w))
    u, across, angle = _plane(w, w_star)
    if estimator == "identity":
        return _HALF_MASS * u, _HALF_MASS * w_star, np.zeros_like(w)
    if estimator == "relu":
        axis = math.cos(angle / 2) * u + math.sin(angle / 2) * across
        return _HALF_MASS * u, _HALF_MASS * math.cos(angle / 2) * axis, _HALF_MASS * u
    if estimator == "clipped_relu":
        own = clipped_moments(0.0, norm)[0] * u
        p, q = clipped_moments(angle, norm)
        return own, p * u + q * across, own
    raise ValueError(f"estimator {estimator!r} is not known; choose one of {ESTIMATORS}")


def clipped_moments(angle: float, norm: float) -> tuple[float, float]:
    """``p`` and ``q`` of :func:`row_means`, by Gauss-Legendre quadrature."""
    start, stop = angle - math.pi / 2, math.pi / 2
    t = (stop - start) / 2 * _NODES + (stop + start) / 2
    weights = (stop - start) / 2 * _WEIGHTS / (2 * math.pi)
    end = 1 / (norm * np.cos(t))
    erf = np.array([math.erf(x / math.sqrt(2)) for x in end])
    radial = math.sqrt(math.pi / 2) * erf - end * np.exp(-(end**2) / 2)
    return float(weights @ (np.cos(t) * radial)), float(weights @ (np.sin(t) * radial))


def correlation(estimator: str, v: Vector, w: Vector, teacher: Teacher) -> float:
    """``E[g] . df/dw``: positive where a small step along ``-E[g]`` lowers the loss.

    Only the part of ``E[g]`` along ``e`` counts, which is that of ``-(v.v*) B``: the
    value is ``(v.v*)^2 / (2 pi |w|)`` times sin(a) / sqrt(2 pi) for the identity,
    sin(a) / (2 sqrt(2 pi)) for the ReLU, q(a) for the clipped ReLU: never negative.
    """
    expected = expected_coarse_gradient(estimator, v, w, teacher)
    return float(expected @ gradient_w(v, w, teacher))


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over samples and its standard error, elementwise."""

    mean: Vector
    error: Vector


def sample_coarse_gradient(
    estimator: str,
    v: Vector,
    w: Vector,
    teacher: Teacher,
    num_samples: int,
    random: np.random.Generator,
) -> tuple[Estimate, Estimate]:
    """Coarse gradients in ``v`` (which is exact) and ``w`` averaged over fresh samples."""
    sums = np.zeros((2, len(v))), np.zeros((2, len(w)))  # of values and of squares
    for start in range(0, num_samples, _BATCH):
        z = random.standard_normal((min(_BATCH, num_samples - start), len(v), len(w)))
        inner = z @ w
        active = inner > 0
        missed = active @ v - (z @ teacher.w > 0) @ teacher.v
        through = v * _derivative(estimator, inner) * missed[:, None]
        for k, one in enumerate((active * missed[:, None], np.einsum("sm,smn->sn", through, z))):
            sums[k][:] += one.sum(0), (one**2).sum(0)
    in_v, in_w = (_estimate(total, square, num_samples) for total, square in sums)
    return in_v, in_w


def _derivative(estimator: str, x: Vector) -> Vector:
    if estimator == "identity":
        return np.ones_like(x)
    if estimator == "relu":
        return (x > 0).astype(np.float64)
    if estimator == "clipped_relu":
        return ((x > 0) & (x < 1)).astype(np.float64)
    raise ValueError(f"estimator {estimator!r} is not known; choose one of {ESTIMATORS}")


def _estimate(total: Vector, square: Vector, count: int) -> Estimate:
    mean = total / count
    variance = np.maximum(square / count - mean**2, 0) * count / max(count - 1, 1)
    return Estimate(mean, np.sqrt(variance / count))


def _plane(w: Vector, w_star: Vector) -> tuple[Vector, Vector, float]:
    """Directions of ``w``, and of what ``w*`` has across it (zero if nothing); their angle."""
    u = w / np.linalg.norm(w)
    along = float(u @ w_star)
    rest = w_star - along * u
    length = float(np.linalg.norm(rest))
    return u, rest / length if length > 1e-12 else np.zeros_like(rest), math.atan2(length, along)
