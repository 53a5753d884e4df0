"""The formulas against Monte Carlo, finite differences and the paper's special cases."""

import math

import numpy as np
import pytest

from lbwdet.studies.two_layer import (
    ESTIMATORS,
    Teacher,
    clipped_moments,
    correlation,
    expected_coarse_gradient,
    gradient_v,
    gradient_w,
    population_loss,
    sample_coarse_gradient,
)

M, N = 4, 5
TEACHER = Teacher(np.array([1.0, 1.0, 0.5, -0.5]), np.eye(N)[0])
SAMPLES = 60_000
each_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)


def at_angle(angle: float, norm: float = 1.0) -> np.ndarray:
    return norm * (math.cos(angle) * np.eye(N)[0] + math.sin(angle) * np.eye(N)[1])


def points(count: int = 3):
    random = np.random.default_rng(1)
    for _ in range(count):
        yield random.standard_normal(M), random.standard_normal(N)


def check_within_errors(estimate, expected):
    # 5 standard errors: one false alarm in a million numbers
    assert (np.abs(estimate.mean - expected) <= 5 * estimate.error + 1e-12).all()
    assert estimate.error.max() < 0.1


def test_loss_against_monte_carlo():
    random = np.random.default_rng(0)
    for v, w in points():
        expected = population_loss(v, w, TEACHER)
        z = random.standard_normal((SAMPLES, M, N))
        losses = ((z @ w > 0) @ v - (z @ TEACHER.w > 0) @ TEACHER.v) ** 2 / 2
        error = losses.std(ddof=1) / math.sqrt(SAMPLES)
        assert abs(losses.mean() - expected) < 5 * error < 0.1 * (1 + expected)


def test_loss_vanishes_at_the_teacher_alone():
    assert population_loss(TEACHER.v, 3 * TEACHER.w, TEACHER) == pytest.approx(0, abs=1e-12)
    assert all(population_loss(v, w, TEACHER) > 0.01 for v, w in points())


def test_gradients_against_finite_differences():
    step = 1e-6
    for v, w in points():
        for gradient, at in ((gradient_v, v), (gradient_w, w)):
            numeric = []
            for unit in np.eye(len(at)) * step:
                sides = [
                    population_loss(*((at + s, w) if at is v else (v, at + s)), TEACHER)
                    for s in (unit, -unit)
                ]
                numeric.append((sides[0] - sides[1]) / (2 * step))
            np.testing.assert_allclose(gradient(v, w, TEACHER), numeric, atol=1e-7)


@each_estimator
def test_expected_coarse_gradient_against_monte_carlo(estimator):
    random = np.random.default_rng(0)
    for v, w in points():
        in_v, in_w = sample_coarse_gradient(estimator, v, w, TEACHER, SAMPLES, random)
        check_within_errors(in_v, gradient_v(v, w, TEACHER))
        check_within_errors(in_w, expected_coarse_gradient(estimator, v, w, TEACHER))


@pytest.mark.parametrize("angle", [0.1, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("norm", [0.3, 1.0, 2.5])
def test_correlation_by_the_papers_formulas(angle, norm):
    v, w = np.array([0.3, -1.0, 2.0, 0.7]), at_angle(angle, norm)
    factor = (v @ TEACHER.v) ** 2 / (2 * math.pi * norm)
    expected = dict(
        identity=factor * math.sin(angle) / math.sqrt(2 * math.pi),
        relu=math.sin(angle) * (v @ TEACHER.v) ** 2 / (2 * (2 * math.pi) ** 1.5 * norm),
        clipped_relu=factor * clipped_moments(angle, norm)[1],
    )
    for estimator, value in expected.items():
        assert value > 0
        assert correlation(estimator, v, w, TEACHER) == pytest.approx(value, rel=1e-9)


def test_relu_by_the_papers_closed_form():
    for v, w in points():
        u, target = w / np.linalg.norm(w), TEACHER.v
        h = v @ v + v.sum() ** 2 - v.sum() * target.sum() + v @ target
        middle = (u + TEACHER.w) / np.linalg.norm(u + TEACHER.w)
        half = math.cos(TEACHER.angle(w) / 2)
        expected = h / (2 * math.sqrt(2 * math.pi)) * u
        expected -= half * (v @ target) / math.sqrt(2 * math.pi) * middle
        np.testing.assert_allclose(
            expected_coarse_gradient("relu", v, w, TEACHER), expected, atol=1e-12
        )


def test_clipped_moments_in_the_limits():
    # A short w: nothing is clipped. No angle: nothing across.
    p, q = clipped_moments(1.0, 1e-6)
    assert p == pytest.approx(math.cos(0.5) ** 2 / math.sqrt(2 * math.pi), rel=1e-9)
    assert q == pytest.approx(math.cos(0.5) * math.sin(0.5) / math.sqrt(2 * math.pi), rel=1e-9)
    assert clipped_moments(0.0, 1.0)[1] == pytest.approx(0, abs=1e-12)
    density = math.exp(-0.5) / math.sqrt(2 * math.pi)  # E[x 1{0 < x < 1}] = phi(0) - phi(1)
    assert clipped_moments(0.0, 1.0)[0] == pytest.approx(1 / math.sqrt(2 * math.pi) - density)


@each_estimator
def test_at_the_good_minimum_every_estimator_rests(estimator):
    gradient = expected_coarse_gradient(estimator, TEACHER.v, 0.7 * TEACHER.w, TEACHER)
    np.testing.assert_allclose(gradient, 0, atol=1e-12)


def test_at_the_spurious_minimum_only_the_identity_moves():
    v, w = TEACHER.spurious_minimum()
    np.testing.assert_allclose(gradient_v(v, w, TEACHER), 0, atol=1e-12)
    assert v @ TEACHER.v < 0  # turning away from the angle pi raises the loss
    gradients = {e: expected_coarse_gradient(e, v, w, TEACHER) for e in ESTIMATORS}
    np.testing.assert_allclose(gradients["relu"], 0, atol=1e-12)
    np.testing.assert_allclose(gradients["clipped_relu"], 0, atol=1e-12)
    expected = 2 * (M - 1) / (math.sqrt(2 * math.pi) * (M + 1) ** 2) * TEACHER.v.sum() ** 2
    assert np.linalg.norm(gradients["identity"]) == pytest.approx(expected)
    solved = np.linalg.solve(np.eye(M) + 1, (np.ones((M, M)) - np.eye(M)) @ TEACHER.v)
    np.testing.assert_allclose(v, solved)


def test_angles_near_both_ends_are_exact():
    for angle in (1e-9, 1e-4, 2.0, math.pi - 1e-9):
        assert TEACHER.angle(at_angle(angle, 5.0)) == pytest.approx(angle, rel=1e-6)


def test_bad_input():
    with pytest.raises(ValueError, match="no spurious minimum"):
        Teacher(np.ones(M), np.eye(N)[0]).spurious_minimum()
    with pytest.raises(ValueError, match=r"\|w\*\| is 2"):
        Teacher(np.ones(M), 2 * np.eye(N)[0])
    with pytest.raises(ValueError, match="'swish' is not known"):
        expected_coarse_gradient("swish", TEACHER.v, TEACHER.w, TEACHER)
