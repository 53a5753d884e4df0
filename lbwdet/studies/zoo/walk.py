"""Tries every shipped config, each in a process of its own, and keeps what was found."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lbwdet.errors import ConfigError
from lbwdet.studies.zoo.isolated import MEMORY_BYTES, run_isolated
from lbwdet.studies.zoo.results import DEPLOYED, Results, where
from lbwdet.studies.zoo.shipped import digest, load_model, shipped_configs
from lbwdet.studies.zoo.trial import STEPS, WEIGHT, reason, run_trial
from lbwdet.studies.zoo.turns import go_through, groups_of, in_turns

ABOUT = (
    "Each model of MMDetection's own configs on random weights and random images of 128x128 "
    "pixels (256x256 or 512x512 where float needs that), on a CPU: loss and backward (2 images) "
    "and predict (1 image), in float and then with quantized weights; proposals are reduced to 50 "
    "and samples to 32 an image. Configs whose models are then equal but for pretrained weights, "
    "normalisation and batch augmentation share one run (same_model_as); schedules and data sets "
    "do not count."
)


def walk(
    out: str | Path,
    pattern: str = "*",
    jobs: int = 1,
    timeout: int = 300,
    retry: bool = False,
) -> dict[str, Any]:
    """Tries the shipped configs whose names match ``pattern``; goes on where it was stopped.

    Args:
        out: JSON file of the results; entries in it with the same model are kept.
        pattern: glob on ``family/config.py``.
        jobs: processes at a time, one thread each.
        timeout: CPU seconds after which a trial is ended.
        retry: try those again that did not run in every step.

    Returns:
        The content of ``out``: what was tried, and in ``configs`` for each config
        ``outcome`` (see :func:`outcome`), ``built``, ``quantized_layers``,
        ``float_weights`` (number of values in unquantized weights of two and more
        dimensions), ``float`` and ``quantized`` (per step None or a reason), ``reason``.

    Raises:
        ConfigError: nothing matches, or ``out`` is another kind of file.
    """
    names = shipped_configs(pattern)
    results = Results(out)
    results.content |= dict(about=ABOUT, weight=WEIGHT, **where())
    entries = results.entries
    models = _read_models(names, entries, retry)
    open_groups = []
    for group in groups_of({name: entries[name]["model"] for name in models}):
        done = next((name for name in group if "outcome" in entries[name]), None)
        if done is None:
            open_groups.append(group)
        else:
            _share(entries, group, entries[done])
    results.write()

    def trial(group: Sequence[str]) -> dict[str, Any]:
        return isolated_trial(models[group[0]], timeout)

    def keep(group: Sequence[str], found: dict[str, Any]) -> None:
        _share(entries, group, found)
        results.write()

    go_through(in_turns(open_groups), trial, keep, jobs)
    return results.write()


def _read_models(
    names: Sequence[str], entries: dict[str, dict[str, Any]], retry: bool
) -> dict[str, dict[str, Any]]:
    """The models of the configs that have one; starts or corrects the entry of each config."""
    models = {}
    for name in names:
        entry = dict(config=name, family=name.split("/")[0])
        try:
            model = load_model(name)
        except ConfigError as error:
            entries[name] = entry | _unreadable(error)
        except (AttributeError, KeyError):
            entries[name] = entry | dict(outcome="no model", reason="the config has no model")
        else:
            models[name] = model
            known = entries.get(name, {})
            again = retry and known.get("outcome") != "runs"
            if again or known.get("model") != digest(model):
                kept = {key: known[key] for key in (DEPLOYED,) if key in known}
                entries[name] = entry | dict(model=digest(model)) | kept
    return models


def isolated_trial(
    model: Mapping[str, Any], timeout: int, memory: int = MEMORY_BYTES
) -> dict[str, Any]:
    """``run_trial`` in a process of its own.

    Returns:
        What the trial reported, with ``outcome``, ``reason`` and ``seconds``.
    """
    run = run_isolated(run_trial, model, timeout, memory)
    return _concluded(run.found, run.end) | dict(seconds=run.seconds)


def _concluded(found: dict[str, Any], end: str) -> dict[str, Any]:
    """The trial's entry; ``end`` says why it broke off, if it did."""
    doing = found.pop("doing", "build")
    if end:
        found.setdefault("built", False)
        found["float" if doing == "build" else doing] = dict.fromkeys(STEPS, f"{doing}: {end}")
    return found | outcome(found)


def outcome(found: Mapping[str, Any]) -> dict[str, Any]:
    """Who is to blame for what, from the steps of both runs.

    ``runs``: every step in float and quantized. ``runs in part``: every step that runs
    in float runs quantized. ``fails in float``: no step runs in float. ``fails quantized``:
    a step runs in float and not quantized.
    """
    plain, quantized = found["float"], found.get("quantized", {})
    ours = {
        step: quantized.get(step, "not reached")
        for step in STEPS
        if plain[step] is None and quantized.get(step, "not reached") is not None
    }
    failed = ours or {step: plain[step] for step in STEPS if plain[step] is not None}
    first = next(iter(failed.items()), None)
    why = None if first is None else f"{first[0]}: {first[1]}"
    if ours:
        return dict(outcome="fails quantized", reason=why)
    if len(failed) == len(STEPS):
        return dict(outcome="fails in float", reason=failed["loss"])
    return dict(outcome="runs in part" if failed else "runs", reason=why)


def _unreadable(error: ConfigError) -> dict[str, Any]:
    why = f"config: {reason(error.__cause__ or error)}"
    return dict(built=False, float=dict.fromkeys(STEPS, why), outcome="fails in float", reason=why)


def _share(entries: dict[str, Any], group: Sequence[str], result: Mapping[str, Any]) -> None:
    own = ("config", "family", "same_model_as", DEPLOYED)
    first = result.get("same_model_as") or result.get("config") or group[0]
    for name in group:
        entries[name] |= {key: value for key, value in result.items() if key not in own}
        if name != first:
            entries[name]["same_model_as"] = first
