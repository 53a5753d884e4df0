"""Tries every shipped config, each in a process of its own, and keeps what was found."""

import json
import multiprocessing
import os
import resource
import signal
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import mmdet
import torch

from lbwdet.errors import ConfigError
from lbwdet.files import write_json
from lbwdet.measuring.environment import commit, cpu_name
from lbwdet.progress import Progress
from lbwdet.studies.zoo.shipped import config_root, digest, load_model, shipped_configs
from lbwdet.studies.zoo.trial import STEPS, WEIGHT, reason, run_trial

MEMORY_BYTES = 16 << 30
_START: Final = "forkserver"  # imports PyTorch and MMDetection once; each trial is a fork of it
_WAIT = 20  # times the CPU seconds, for a busy machine; beyond, a trial waits for something
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
    entries = _known(Path(out))
    models = _read_models(names, entries, retry)
    groups: dict[str, list[str]] = {}
    for name, model in models.items():
        groups.setdefault(digest(model), []).append(name)
    open_groups = []
    for group in _families_in_turn(groups.values()):
        done = next((name for name in group if "outcome" in entries[name]), None)
        if done is None:
            open_groups.append(group)
        else:
            _share(entries, group, entries[done])
    _write(out, entries)
    with (
        Progress("zoo", len(open_groups)) as progress,
        ThreadPoolExecutor(max_workers=jobs) as pool,
    ):
        trials = {
            pool.submit(isolated_trial, models[group[0]], timeout): group for group in open_groups
        }
        try:
            for trial in as_completed(trials):
                _share(entries, trials[trial], trial.result())
                _write(out, entries)
                progress.step()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return _content(entries)


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
                entries[name] = entry | dict(model=digest(model))
    return models


def _families_in_turn(groups: Iterable[list[str]]) -> list[list[str]]:
    """First one of each family, then a second one: a walk cut short has seen all of them."""
    seen: Counter[str] = Counter()
    turns = []
    for group in groups:
        family = group[0].split("/")[0]
        turns.append((seen[family], group))
        seen[family] += 1
    return [group for _, group in sorted(turns)]


def isolated_trial(
    model: Mapping[str, Any], timeout: int, memory: int = MEMORY_BYTES
) -> dict[str, Any]:
    """``run_trial`` in a process of its own, which may crash, hang or eat memory.

    Returns:
        What the trial reported, with ``outcome``, ``reason`` and ``seconds``.
    """
    context = multiprocessing.get_context(_START)
    context.set_forkserver_preload([__name__])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=_child, args=(dict(model), sender, timeout, memory), daemon=True
    )
    started = time.monotonic()
    process.start()
    sender.close()
    found: dict[str, Any] = {}
    end = None
    while end is None:
        if not receiver.poll(max(0.0, started + _WAIT * timeout - time.monotonic())):
            end = f"not done within {_WAIT * timeout} s"
            continue
        try:
            key, value = receiver.recv()
        except EOFError:
            process.join(timeout=10)
            end = f"the process ended with code {process.exitcode}"
            if process.exitcode == -signal.SIGXCPU:
                end = f"not done within {timeout} s of CPU time"
        else:
            found[key] = value
            if key == "done":
                end = ""
    process.kill()
    process.join()
    return _concluded(found, end) | dict(seconds=round(time.monotonic() - started, 1))


def _child(model: dict[str, Any], sender: Connection, timeout: int, memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (timeout, timeout + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.chdir(config_root().parent)  # some configs name others as 'configs/...'
    torch.set_num_threads(1)
    run_trial(model, lambda key, value: sender.send((key, value)))
    sender.send(("done", True))


def _concluded(found: dict[str, Any], end: str) -> dict[str, Any]:
    """The trial's entry; ``end`` says why it broke off, if it did."""
    found.pop("done", None)
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
    shared = ("config", "family", "same_model_as")
    first = result.get("same_model_as") or result.get("config") or group[0]
    for name in group:
        entries[name] |= {key: value for key, value in result.items() if key not in shared}
        if name != first:
            entries[name]["same_model_as"] = first


def _known(out: Path) -> dict[str, dict[str, Any]]:
    if not out.is_file():
        return {}
    try:
        content = json.loads(out.read_text(encoding="utf-8"))
        return {entry["config"]: entry for entry in content["configs"]}
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{out}: not a file of this command; name another --out") from error


def _write(out: str | Path, entries: Mapping[str, Any]) -> None:
    write_json(out, _content(entries))


def _content(entries: Mapping[str, Any]) -> dict[str, Any]:
    return dict(
        about=ABOUT,
        weight=WEIGHT,
        commit=commit(),
        cpu=cpu_name(),
        versions=dict(mmdet=mmdet.__version__, torch=torch.__version__),
        configs=[entries[name] for name in sorted(entries)],
    )
