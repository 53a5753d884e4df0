"""The browser's package as it is built, and Node to run it in."""

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lbwdet.deploy.runtime.artifact import checksum

WEB = Path(__file__).resolve().parents[2] / "web"
HERE = Path(__file__).parent
NODE = shutil.which("node")


def encoded(array: np.ndarray) -> dict[str, Any]:
    """An array as JSON."""
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": data}


def decoded(text: str, dtype: Any) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype)


def changed(file: bytes, change: Callable[[Any], Any]) -> bytes:
    """An artifact's file whose document ``change`` has altered, with the checksum that fits."""
    length = int.from_bytes(file[:8], "little")
    table, data = json.loads(file[8 : 8 + length]), file[8 + length :]
    document = json.loads(table["__metadata__"]["lbwdet"])
    change(document)
    text = json.dumps(document)
    table["__metadata__"] = {"lbwdet": text, "crc32": checksum(text, data)}
    encoded = json.dumps(table).encode()
    return len(encoded).to_bytes(8, "little") + encoded + data


@pytest.fixture(scope="session")
def built() -> Path:
    """The folder that make web fills; a minute or two, where nothing is there yet."""
    if shutil.which("emcc") is None:
        pytest.skip("emcc is not installed: the engine cannot be compiled for browsers")
    if NODE is None:
        pytest.skip("node is not installed")
    command = [sys.executable, str(WEB / "build.py")]
    result = subprocess.run(command, capture_output=True, text=True, cwd=WEB.parent)
    assert result.returncode == 0, result.stderr
    return WEB / "built"


@pytest.fixture(scope="session", params=["portable", "simd128"])
def run_cases(request, built, tmp_path_factory) -> Callable[[list[dict[str, Any]]], list[Any]]:
    """Runs cases of tests/web/run_cases.mjs in Node, with each instruction set."""

    def run(cases: list[dict[str, Any]]) -> list[Any]:
        folder = tmp_path_factory.mktemp("cases")
        (folder / "cases.json").write_text(json.dumps(cases))
        command = [
            *(NODE, str(HERE / "run_cases.mjs"), str(built / f"{request.param}.wasm")),
            *(str(folder / name) for name in ("cases.json", "results.json")),
        ]
        result = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert result.returncode == 0, result.stderr
        return json.loads((folder / "results.json").read_text())

    return run
