"""One config of each family of MMDetection's, tried again: does the published walk still hold?

Those whose family is deployed are deployed, too.

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


# What took longer in the walk, on a busy machine (alone it is a fifth), is not deployed here again.
SECONDS = 130


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


def seconds_to_deploy(entry: dict[str, Any]) -> float | None:
    found = entry.get(DEPLOYED) or {}
    is_quick = found.get("boxes") and found["step"] == "run" and found["seconds"] < SECONDS
    return found["seconds"] if is_quick else None


@pytest.mark.zoo
@pytest.mark.parametrize("config", quickest_by_family(seconds_to_run).values())
def test_what_ran_runs(config):
    found = isolated_trial(load_model(config), timeout=300)
    assert found["outcome"] == "runs", found["reason"]
    assert found["quantized_layers"] > 0


@pytest.mark.zoo
@pytest.mark.parametrize("config", quickest_by_family(seconds_to_deploy).values())
def test_what_was_deployed_is_deployed(config):
    found = isolated_deployment(load_deployed(config, 192), "run", timeout=300)
    assert found["boxes"], found["reason"]
    assert found["matched"] is None or found["matched"] > 0.9
