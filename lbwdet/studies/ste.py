"""The straight-through study: what each estimator's coarse gradient does, measured and drawn."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lbwdet.errors import ConfigError
from lbwdet.files import write_bytes, write_json
from lbwdet.studies import ste_plots
from lbwdet.studies.two_layer import (
    ESTIMATORS,
    Teacher,
    Vector,
    correlation,
    expected_coarse_gradient,
    gradient_v,
    gradient_w,
    population_loss,
    sample_coarse_gradient,
)
from lbwdet.tables import table

# Its spurious minimum exists, and the identity's gradient there is far from zero.
TEACHER = Teacher(np.array([1.0, 1.0, 0.5, -0.5]), np.eye(8)[0])
V = np.array([0.8, 0.2, 1.0, -0.6])  # the second layer while the angle is swept
ANGLES = tuple(math.pi * k / 12 for k in range(1, 12))
LEARNING_RATE = 0.1
BATCH = 500  # fresh samples of each descent step
STEPS = 600
EVERY = 5  # of which one is kept for the figure
NUDGE = 0.05  # standard deviation of the noise on the point that a descent starts from
Z_99 = 2.576


def run_study(out_dir: str | Path, samples: int = 200_000, seed: int = 0) -> dict[str, Any]:
    """Measures, compares with the formulas, descends; writes ``ste.json`` and two figures.

    Args:
        out_dir: gets ``ste.json``, ``ste_correlation.png`` and ``ste_descent.png``.
        samples: for each Monte Carlo estimate.
        seed: of everything random.

    Returns:
        The content of ``ste.json``.

    Raises:
        ConfigError: fewer than 1,000 samples, of which no error bar would mean anything.
    """
    if samples < 1000:
        raise ConfigError(f"samples={samples}: give 1000 or more")
    random = np.random.default_rng(seed)
    content: dict[str, Any] = dict(
        study="ste",
        teacher=dict(v=TEACHER.v.tolist(), w=TEACHER.w.tolist()),
        samples=samples,
        seed=seed,
        sweep=[_correlations(angle, samples, random) for angle in ANGLES],
        minima=[_at_minimum(name, samples, random) for name in _MINIMA],
        descent=dict(
            learning_rate=LEARNING_RATE,
            batch=BATCH,
            steps=STEPS,
            every=EVERY,
            nudge=NUDGE,
            runs=[_descend(start, e, random) for start in _MINIMA for e in ESTIMATORS],
        ),
    )
    out_dir = Path(out_dir)
    write_json(out_dir / "ste.json", content)
    for name, draw in (("correlation", ste_plots.correlation), ("descent", ste_plots.descent)):
        write_bytes(out_dir / f"ste_{name}.png", draw(content))
    return content


def markdown(content: Mapping[str, Any]) -> str:
    """The tables of ``ste.json`` for a page."""
    gradients = {
        name: [
            e for point in content["sweep"] for e in point["estimators"] if e["estimator"] == name
        ]
        for name in ESTIMATORS
    }
    runs = {(run["start"], run["estimator"]): run for run in content["descent"]["runs"]}
    descents = [
        entry | runs[minimum["name"], entry["estimator"]] | dict(minimum=minimum["name"])
        for minimum in content["minima"]
        for entry in minimum["estimators"]
    ]
    descent = content["descent"]
    note = (
        f"{content['samples']:,} samples an estimate, seed {content['seed']}. Descent: "
        f"{descent['steps']:,} steps of {descent['learning_rate']} with {descent['batch']} fresh "
        f"samples each, from the minimum plus noise of {descent['nudge']}; loss (population) and "
        "angle at the end are means over the last tenth."
    )
    swept = table(gradients.items(), _SWEPT)
    return "\n".join([swept, table(descents, _DESCENDED, left=2), note])


def _beyond(entries: Sequence[Mapping[str, Any]]) -> str:
    outside = sum(entry["beyond_99"] for entry in entries)
    return f"{outside} ({100 * outside / sum(entry['numbers'] for entry in entries):.1f} %)"


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.4f} to {max(values):.4f}"


_SWEPT: dict[str, Callable[[Any], object]] = {
    "estimator": lambda item: item[0],
    "numbers compared": lambda item: sum(e["numbers"] for e in item[1]),
    "beyond 99 % interval": lambda item: _beyond(item[1]),
    "largest deviation, in standard errors": lambda item: (
        f"{max(e['largest_z'] for e in item[1]):.1f}"
    ),
    "correlation, smallest and largest over the angle": lambda item: _range(
        [e["correlation"] for e in item[1]]
    ),
}
_DESCENDED: dict[str, Callable[[Any], object]] = {
    "minimum": lambda entry: entry["minimum"],
    "estimator": lambda entry: entry["estimator"],
    "norm of E[g], formula": lambda entry: f"{entry['norm']:.4f}",
    "Monte Carlo ± standard error": lambda entry: f"{entry['measured']:.4f} ± {entry['error']:.4f}",
    "loss at the start of the descent": lambda entry: f"{entry['loss'][0]:.4f}",
    "at the end": lambda entry: f"{entry['final_loss']:.4f}",
    "angle at the end": lambda entry: f"{entry['final_angle'] / math.pi:.2f} pi",
}
_MINIMA: dict[str, Callable[[], tuple[Vector, Vector]]] = {
    "good": lambda: (TEACHER.v, TEACHER.w),
    "spurious": TEACHER.spurious_minimum,
}


def _correlations(angle: float, samples: int, random: np.random.Generator) -> dict[str, Any]:
    """Coarse gradients at one angle, formula and Monte Carlo; ``|w| = 1``."""
    w = math.cos(angle) * np.eye(8)[0] + math.sin(angle) * np.eye(8)[1]
    true = gradient_w(V, w, TEACHER)
    entries = []
    for estimator in ESTIMATORS:
        expected = expected_coarse_gradient(estimator, V, w, TEACHER)
        _, measured = sample_coarse_gradient(estimator, V, w, TEACHER, samples, random)
        deviation = np.abs(measured.mean - expected) / np.maximum(measured.error, 1e-300)
        # The true gradient has one component here, so the error of the product is its error.
        error = float(np.sqrt(((true * measured.error) ** 2).sum()))
        length = float(np.linalg.norm(expected) * np.linalg.norm(true))
        entries.append(
            dict(
                estimator=estimator,
                correlation=correlation(estimator, V, w, TEACHER),
                measured=float(true @ measured.mean),
                error=error,
                cosine=float(expected @ true) / length,
                numbers=len(deviation),
                beyond_99=int((deviation > Z_99).sum()),
                largest_z=float(deviation.max()),
            )
        )
    return dict(angle=angle, estimators=entries)


def _at_minimum(name: str, samples: int, random: np.random.Generator) -> dict[str, Any]:
    v, w = _MINIMA[name]()
    entries = []
    for estimator in ESTIMATORS:
        expected = expected_coarse_gradient(estimator, v, w, TEACHER)
        _, measured = sample_coarse_gradient(estimator, v, w, TEACHER, samples, random)
        # Measured along the first axis, on which w lies: a norm would add up noise.
        entries.append(
            dict(
                estimator=estimator,
                norm=float(np.linalg.norm(expected)),
                measured=float(abs(measured.mean[0])),
                error=float(measured.error[0]),
            )
        )
    return dict(name=name, loss=population_loss(v, w, TEACHER), estimators=entries)


def _descend(start: str, estimator: str, random: np.random.Generator) -> dict[str, Any]:
    """Stochastic coarse gradient descent; loss and angle of every ``EVERY``-th step."""
    v, w = (x + NUDGE * random.standard_normal(len(x)) for x in _MINIMA[start]())
    losses, angles = [], []
    for _ in range(STEPS):
        losses.append(population_loss(v, w, TEACHER))
        angles.append(TEACHER.angle(w))
        in_v, in_w = sample_coarse_gradient(estimator, v, w, TEACHER, BATCH, random)
        v, w = v - LEARNING_RATE * in_v.mean, w - LEARNING_RATE * in_w.mean
    last = STEPS // 10
    return dict(
        start=start,
        estimator=estimator,
        loss=_rounded(losses[::EVERY]),
        angle=_rounded(angles[::EVERY]),
        final_loss=float(np.mean(losses[-last:])),
        final_angle=float(np.mean(angles[-last:])),
        final_gradient_v=float(np.linalg.norm(gradient_v(v, w, TEACHER))),
    )


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 5) for value in values]
