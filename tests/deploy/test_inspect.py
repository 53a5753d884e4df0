"""What `lbwdet inspect` says of an artifact."""

import json
import re

import numpy as np
import pytest

from lbwdet.cli import main
from lbwdet.deploy.artifact_writer import write_artifact
from lbwdet.deploy.inspect import describe, facts
from lbwdet.deploy.testing import tiny_artifact, tiny_rfcn_artifact


def test_facts_of_the_golden_file(golden_folder):
    path = golden_folder / "plain.lbw"
    found = facts(path)
    size = path.stat().st_size
    assert (found["bytes"], found["format_version"], found["classes"]) == (size, 1, ["cell"])
    assert found["info"] == {"made": "by hand"}
    assert found["operations"]["Conv"] == 5 and found["operations"]["Detections"] == 1
    assert "Proposals" not in found["operations"]  # read into today's operations
    cls, reg, fc, *_, last = found["layers"]
    assert cls["name"] == "rpn.cls" and cls["shape"] == [1, 3, 1, 1]
    assert cls["zeros"] == pytest.approx(1 / 3) and cls["entropy"] == pytest.approx(np.log2(3))
    assert cls["scale_exponent"] == [1] and cls["code_bytes"] == 1
    assert reg["scale_exponent"] == [-2, 2] and reg["vector_bytes"] == 2 * 4 + 4 * 4 + 4 * 4
    assert fc["bit_width"] == 6 and fc["num_magnitudes"] == 16
    assert last["scale"] == [0.0078125] and last["code"] == "uniform"
    stored = sum(layer["code_bytes"] + layer["vector_bytes"] for layer in found["layers"])
    assert stored + found["header_bytes"] == size
    assert found["weights"] == 3 + 12 + 150 + 4 + 8


def test_dropped_weights_are_those_below_the_window(golden_folder, golden_artifact):
    found = facts(golden_folder / "coded.lbw")
    fc = golden_artifact.weights["fc"]
    by_hand = 0
    for channel in abs(fc.codes.astype(int)).reshape(2, -1):
        by_hand += sum(0 < code <= channel.max() - 7 for code in channel)
    assert by_hand > 0
    assert [layer["dropped"] for layer in found["layers"]] == [0, 0, by_hand, 0, 0]
    assert found["dropped"] == by_hand
    assert found["layers"][2]["encoding"] == "deflate"


def test_the_text_has_every_operation_and_layer(tmp_path):
    path, artifact = tmp_path / "model.lbw", tiny_artifact(channels=2, activation_bits=4)
    size = write_artifact(path, artifact)
    text = describe(path)
    assert f"format 2, {size:,} bytes" in text and "classes (3): class0, class1" in text
    lines = text.splitlines()
    for layer in artifact.weights:
        assert any(line.startswith(f"{layer} ") and "bitpack" in line for line in lines)
    for index, operation in enumerate(artifact.program.operations):
        assert any(line.split()[:2] == [str(index), type(operation).__name__] for line in lines)
    assert "up to 15, ceil" in text and "zero 128" in text


def test_the_text_of_rfcn(tmp_path):
    write_artifact(tmp_path / "model.lbw", tiny_rfcn_artifact(channels=2))
    text = describe(tmp_path / "model.lbw")
    program = text.partition("float32, apart from")[0]
    (votes,) = (line for line in program.splitlines() if "PSRoIAlign" in line and "deltas" in line)
    settings = ["stride", "16", "size", "3", "sampling_ratio", "2"]
    assert votes.split()[2:] == ["deltas.map", "proposals", "deltas", "float32", *settings]
    assert "2 PSRoIAlign" in text
    (dilated,) = (line for line in text.splitlines() if "dilation 2x2" in line)
    assert dilated.split()[3] == "stage4.2"


def timeless(text: str) -> str:
    """The text without times, and without the width that a column has because of them."""
    return re.sub(r" +", " ", re.sub(r" *[0-9.]+%( of the time)?", "", text))


def test_what_stays_float32(tmp_path):
    artifact = tiny_artifact(channels=2)
    write_artifact(tmp_path / "model.lbw", artifact)
    lines = describe(tmp_path / "model.lbw").splitlines()
    (start,) = (n for n, line in enumerate(lines) if line.startswith("float32, apart from"))
    assert (
        "6 operations" in lines[start]
        and "% of the time (an image of noise, 128x96" in lines[start]
    )
    told = [line.split() for line in lines[start + 2 : start + 8]]
    assert [line[1] for line in told] == [
        "Candidates",
        "Suppress",
        "RoIAlign",
        "RegionCandidates",
        "Rescale",
        "Suppress",
    ]
    for line in told:
        operation = artifact.program.operations[int(line[0])]
        assert line[1:3] == [type(operation).__name__, operation.written]
        assert operation.float32 in " ".join(line) and line[-1].endswith("%")


def test_the_command(golden_folder, tmp_path, capsys):
    path = str(golden_folder / "plain.lbw")
    assert main(["inspect", path]) == 0
    assert timeless(capsys.readouterr().out) == timeless(describe(path) + "\n")
    assert main(["inspect", path, "--json"]) == 0
    told, found = json.loads(capsys.readouterr().out), facts(path)
    assert {part.pop("share") is None for part in told["float32"] + found["float32"]} == {False}
    assert told == found
    assert main(["inspect", str(tmp_path / "missing.lbw")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path}/missing.lbw: cannot be read")
