"""One config of each family of MMDetection's, tried again: does the published walk still hold?

Takes minutes: `make test-zoo`.
"""

import json
from pathlib import Path

import pytest

from lbwdet.studies.zoo.shipped import load_model
from lbwdet.studies.zoo.walk import isolated_trial

RESULTS = Path(__file__).parents[3] / "docs/results/zoo.json"


def quickest_by_family() -> dict[str, str]:
    """The config that ran in the shortest time, for each family that has one that runs."""
    quickest: dict[str, tuple[float, str]] = {}
    for entry in json.loads(RESULTS.read_text())["configs"]:
        if entry.get("outcome") == "runs" and "seconds" in entry:
            mine = (entry["seconds"], entry["config"])
            quickest[entry["family"]] = min(mine, quickest.get(entry["family"], mine))
    return {family: config for family, (_, config) in sorted(quickest.items())}


@pytest.mark.zoo
@pytest.mark.parametrize("config", quickest_by_family().values())
def test_what_ran_runs(config):
    found = isolated_trial(load_model(config), timeout=300)
    assert found["outcome"] == "runs", found["reason"]
    assert found["quantized_layers"] > 0
