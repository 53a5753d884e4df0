"""Two tiny models and a comparison of them."""

import json
from types import SimpleNamespace

import pytest

from lbwdet.comparison.compare import CompareSettings, compare
from tests.tiny_detectors import tiny, voc_root  # noqa: F401  (fixtures)


@pytest.fixture(scope="session")
def compared(tiny, tmp_path_factory) -> SimpleNamespace:  # noqa: F811
    """A finished comparison of the two tiny models: its folder and its JSON."""
    out = tmp_path_factory.mktemp("compared")
    returned = compare(tiny.specs, out, CompareSettings(threads=1, latency_rounds=1))
    return SimpleNamespace(
        out=out, returned=returned, json=json.loads((out / "compare.json").read_text())
    )
