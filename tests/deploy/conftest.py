"""Artifacts made wrong on purpose, with everything else kept right."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lbwdet.deploy.artifact_writer import artifact_bytes
from lbwdet.deploy.runtime.artifact import checksum
from lbwdet.deploy.testing import tiny_artifact

Change = Callable[[Any], Any]


@pytest.fixture(scope="session")
def small_file() -> bytes:
    """A small detector's file; entropy-coded where that is shorter."""
    return artifact_bytes(tiny_artifact(channels=2, num_classes=2), entropy_coding=True)


@pytest.fixture
def tampered(small_file: bytes, tmp_path: Path) -> Callable[..., Path]:
    """Writes the small file with changes, and a checksum that fits them.

    ``document`` and ``header`` are changed in place; ``data`` returns the new data.
    """

    def write(
        document: Change = lambda document: None,
        header: Change = lambda header: None,
        data: Change = lambda data: data,
    ) -> Path:
        length = int.from_bytes(small_file[:8], "little")
        table = json.loads(small_file[8 : 8 + length])
        content = data(small_file[8 + length :])
        value = json.loads(table["__metadata__"]["lbwdet"])
        document(value)
        text = json.dumps(value)
        table["__metadata__"] = {"lbwdet": text, "crc32": checksum(text, content)}
        header(table)
        encoded = json.dumps(table).encode()
        path = tmp_path / "tampered.lbw"
        path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + content)
        return path

    return write
