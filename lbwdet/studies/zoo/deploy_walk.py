"""Deploys every shipped config whose model runs, and keeps what was found."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lbwdet.errors import ConfigError
from lbwdet.studies.zoo.deployment import try_deployment, try_lowering
from lbwdet.studies.zoo.isolated import MEMORY_BYTES, run_isolated
from lbwdet.studies.zoo.results import DEPLOYED, Results, where
from lbwdet.studies.zoo.shipped import digest, load_deployed, parts_of, shipped_configs
from lbwdet.studies.zoo.turns import Group, go_through, groups_of, in_turns

TRIALS = {"lower": try_lowering, "run": try_deployment}
RUN, LOWER = "run", "lower"
SHARES = 1.5  # the longer side of images, by the size at which the model runs in float
SIZE = 128
ABOUT = (
    "Each model with weights of 4 bits, random but scaled so that every layer's numbers have about "
    "the same size, is exported with activations of 8 bits, calibrated (minmax) on a random image "
    "of at most 192x128 pixels, and run on it by the native engine and the reference, "
    "which have to give the same bytes. Map error: how far the maps that boxes are made from are "
    "from those of MMDetection with the same weights, relative to how much these vary (1: no "
    "better than constants; random networks magnify what rounding does more than trained ones "
    "do); in reals: the same without quantized activations and with the weights that training "
    "leaves float, which has to be below 0.001. "
    "Boxes matched: share of the boxes that MMDetection makes of the engine's maps which the "
    "engine has, too (same label, IoU at least 0.9), and how far the scores of these are apart."
)


def walk_deployment(
    out: str | Path,
    pattern: str = "*",
    step: str = RUN,
    jobs: int = 1,
    timeout: int = 300,
    retry: bool = False,
) -> dict[str, Any]:
    """Deploys the shipped configs that match ``pattern`` and run; goes on where it was stopped.

    Args:
        out: JSON file of a walk through the zoo; what is found is added to it.
        pattern: glob on ``family/config.py``.
        step: ``'run'``, or ``'lower'``: no calibration and nothing run, seconds a model.
        jobs: processes at a time, one thread each.
        timeout: CPU seconds after which a trial is ended.
        retry: try those again that are not deployed in full.

    Returns:
        The content of ``out``. Under ``deployed`` of each config: ``step``, ``ok`` (all that the
        model gives), ``boxes``, ``masks`` (None: it has none), ``real_error``, ``map_error``,
        ``matched``, ``score_difference`` (None where they were not measured), ``reason`` (why not,
        or why not in full), ``model`` (what it is known by), ``parts`` (classes that it is made
        of), ``seconds``.

    Raises:
        ConfigError: nothing matches, or ``out`` is another kind of file.
    """
    if step not in TRIALS:
        raise ConfigError(f"--deploy={step}: choose one of {', '.join(TRIALS)}")
    names = shipped_configs(pattern)
    results = Results(out)
    results.content |= dict(deployment=dict(about=ABOUT, **where()))
    subjects = _read_subjects(names, results.entries)
    digests = {name: digest(subject) for name, subject in subjects.items()}

    def share(group: Sequence[str], found: Mapping[str, Any]) -> None:
        parts = " ".join(sorted(parts_of(subjects[group[0]]["model"])))
        for name in group:
            results.entries[name][DEPLOYED] = dict(found) | dict(parts=parts)

    open_groups, done_groups = [], []
    for group in groups_of(digests):
        known = [results.entries[name].get(DEPLOYED, {}) for name in group]
        done = [
            entry
            for entry in known
            if entry.get("model") == digests[group[0]] and _is_done(entry, step, retry)
        ]
        if done:
            share(group, done[0])
            done_groups.append(group)
        else:
            open_groups.append(group)
    results.write()

    def trial(group: Sequence[str]) -> dict[str, Any]:
        found = isolated_deployment(subjects[group[0]], step, timeout)
        return dict(model=digests[group[0]]) | found

    def keep(group: Sequence[str], found: dict[str, Any]) -> None:
        share(group, found)
        results.write()

    def cost(group: Group) -> float:
        known = results.entries[group[0]].get(DEPLOYED, {})
        # What was refused is so in all likelihood, and can wait.
        return float(known.get("seconds", 0.0)) if known.get("boxes", True) else math.inf

    go_through(in_turns(open_groups, done_groups, cost), trial, keep, jobs)
    return results.write()


def isolated_deployment(
    subject: Mapping[str, Any], step: str, timeout: int, memory: int = MEMORY_BYTES
) -> dict[str, Any]:
    """A trial in a process of its own, as an entry's ``deployed``."""
    run = run_isolated(TRIALS[step], subject, timeout, memory)
    return conclude(run.found, run.end) | dict(step=step, seconds=run.seconds)


def conclude(found: Mapping[str, Any], end: str) -> dict[str, Any]:
    """What a trial reported as an entry's ``deployed``; ``end`` says why it broke off."""
    broken = f"{found.get('doing', 'start')}: {end}" if end else None
    why = found.get("reason") or broken
    masks = found.get("masks")
    return dict(
        ok=why is None and masks is not False,
        boxes=why is None,
        masks=masks if why is None else None,
        **{
            key: _rounded(found.get(key))
            for key in ("real_error", "map_error", "matched", "score_difference")
        },
        reason=why,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")


def _is_done(entry: Mapping[str, Any], step: str, retry: bool) -> bool:
    """Whether an entry says what a walk up to ``step`` would find."""
    if retry and not entry["ok"]:
        return False
    # What is refused is so whatever was to come after.
    return entry["step"] in (RUN, step) or not entry["boxes"]


def _read_subjects(
    names: Sequence[str], entries: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Model and pipeline of each config whose model runs in float."""
    subjects = {}
    for name in names:
        entry = entries.get(name, {})
        if "outcome" not in entry:
            raise ConfigError(f"{name} was not tried yet; run `lbwdet zoo` without --deploy first")
        if entry["outcome"] in ("runs", "runs in part"):
            size = int(SHARES * entry.get("size", SIZE))
            subjects[name] = load_deployed(name, size)
    return subjects
