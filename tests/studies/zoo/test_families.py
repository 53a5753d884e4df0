"""One config of each family of MMDetection's, tried again: does the published walk still hold?

Of those that were deployed so many are deployed again that every class occurs that any is made of.

Takes minutes: `make test-zoo`.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lbwdet.studies.zoo.deploy_walk import isolated_deployment
from lbwdet.studies.zoo.results import DEPLOYED
from lbwdet.studies.zoo.shipped import load_deployed, load_model
from lbwdet.studies.zoo.walk import isolated_trial

RESULTS = Path(__file__).parents[3] / "docs/results/zoo.json"


# What took longer in the walk, on a busy machine (alone it is a third), is not deployed here again.
SECONDS = 35
# Of 20 boxes: where the last of them have scores that are almost the same, rounding decides which.
MATCHED = 0.7


def quickest_by_family(seconds: Callable[[dict[str, Any]], float | None]) -> dict[str, str]:
    """The config with the fewest ``seconds``, for each family that has one with any."""
    quickest: dict[str, tuple[float, str]] = {}
    for entry in json.loads(RESULTS.read_text())["configs"]:
        if (taken := seconds(entry)) is not None:
            mine = (taken, entry["config"])
            quickest[entry["family"]] = min(mine, quickest.get(entry["family"], mine))
    return {family: config for family, (_, config) in sorted(quickest.items())}


def seconds_to_run(entry: dict[str, Any]) -> float | None:
    return entry.get("seconds") if entry.get("outcome") == "runs" else None


def quickest_of_all_parts() -> list[str]:
    """Configs that were deployed, the quickest first, each with a part that none before it has."""
    entries = json.loads(RESULTS.read_text())["configs"]
    deployed = [
        (found["seconds"], entry["config"], set(found.get("parts", "").split()))
        for entry in entries
        if (found := entry.get(DEPLOYED)) and found["boxes"] and found["step"] == "run"
        if found["matched"] is None or found["matched"] > MATCHED
    ]
    chosen, seen = [], set()
    for seconds, config, parts in sorted(deployed):
        if seconds < SECONDS and not parts <= seen:
            chosen.append(config)
            seen |= parts
    return sorted(chosen)


@pytest.mark.zoo
@pytest.mark.parametrize("config", quickest_by_family(seconds_to_run).values())
def test_what_ran_runs(config):
    found = isolated_trial(load_model(config), timeout=300)
    assert found["outcome"] == "runs", found["reason"]
    assert found["quantized_layers"] > 0


@pytest.mark.zoo
@pytest.mark.parametrize("config", quickest_of_all_parts())
def test_what_was_deployed_is_deployed(config):
    found = isolated_deployment(load_deployed(config, 192), "run", timeout=300)
    assert found["boxes"], found["reason"]
    assert found["matched"] is None or found["matched"] > MATCHED
