"""Reading artifacts: what is damaged or hostile is refused by one kind of error."""

import dataclasses
import json
import os
import re
import resource
import struct
import subprocess
import sys
import zlib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbwdet.deploy.runtime.artifact import Artifact, read_artifact
from lbwdet.errors import ArtifactError


def test_it_is_read(small_file, tampered):
    artifact = read_artifact(tampered())
    assert artifact.classes == ("class0", "class1") and artifact.info == {"seed": 0}
    assert b'"deflate"' in small_file.replace(b"\\", b"") and b"bitpack" in small_file


def test_its_arrays_are_ones_own(tampered):
    """Not views of the file's bytes: they can be written to, and the file's memory goes."""
    for weight in read_artifact(tampered()).weights.values():
        for array in (weight.codes, weight.scale, weight.gain, weight.bias):
            assert array.flags.writeable and array.flags.aligned


def test_a_program_is_checked_once_and_another_one_anew(tampered, monkeypatch):
    artifact = read_artifact(tampered())
    monkeypatch.setattr("lbwdet.deploy.runtime.artifact.check_artifact", None)
    assert artifact.program.operations[0].output in artifact.values
    monkeypatch.undo()
    with pytest.raises(ArtifactError, match="different names are expected"):
        dataclasses.replace(artifact, classes=("a", "a")).values  # noqa: B018


def layer(name, **changes):
    def change(document):
        document["weights"][name].update(changes)

    return change


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            lambda d: d.update(format_version=3),
            "format_version is 3, this lbwdet reads up to 2: upd",
        ),
        (lambda d: d.update(format_version=0), "format_version is 0, not a version"),
        (lambda d: d.update(format_version=True), "format_version is True, not a version"),
        (
            lambda d: d.update(format_version=1),
            r"operations\[1\] .Conv.: the fields .* missing \[",
        ),
        (lambda d: d.update(format_version="1"), "format_version is '1', not a version"),
        (lambda d: d.pop("format_version"), "format_version is None"),
        (lambda d: d.pop("info"), r"document: the fields .* missing \['info'\]"),
        (lambda d: d.update(extra=1), r"unknown \['extra'\]"),
        (
            lambda d: d["program"]["operations"][3].pop("kernel"),
            r"operations\[3\] .Conv.: the fields .* missing \['kernel'\]",
        ),
        (lambda d: d["program"]["operations"][3].update(relu=1), r"\[3\] .Conv.\.relu is 1"),
        (lambda d: d["program"]["operations"].pop(), "ends with its one Detections"),
        (
            lambda d: d["program"]["quantizations"].pop("p2"),
            "operation .*input 'p2' is float32, not uint8",
        ),
        (lambda d: d["weights"].pop("fc1"), r"unknown \['fc1.bias', 'fc1.codes', 'fc1.gain'"),
        (lambda d: d["weights"].update(fc3=d["weights"]["fc1"]), r"missing \['fc3.bias', "),
        (layer("fc1", shape=[8, 4, 7, 6]), "array 'fc1.codes': "),
        (layer("fc1", shape=[1 << 20, 1 << 20, 7, 7]), "weights are too many"),
        (layer("fc1", shape=[0, 4, 7, 7]), "layer 'fc1': shape is 0; allowed is 1"),
        (layer("fc1", shape=[8, 4, 49]), "instead of a list of 4"),
        (layer("fc1", bit_width=0), "layer 'fc1': bit_width is 0; allowed is 1 to 8"),
        (layer("fc1", bit_width=1), "the arrays are not those"),
        (layer("fc1", bit_width=3), "array 'fc1.codes': "),
        (layer("fc1", encoding="lzma"), "encoding is 'lzma' instead of 'bitpack' or 'deflate'"),
        (layer("fc1", num_magnitudes=3), r"layer 'fc1': codes .* allowed is -3..3"),
        (layer("fc1", code="x"), "layer 'fc1': code 'x' is not one of"),
        (lambda d: d.update(classes=["a", "a"]), "2 different names are expected"),
    ],
)
def test_documents_that_do_not_fit_are_refused(tampered, document, message):
    path = tampered(document)
    with pytest.raises(ArtifactError, match=f"^{re.escape(str(path))}: .*({message})"):
        read_artifact(path)


def rename(header):
    header["fc1.codez"] = header.pop("fc1.codes")


def exchange_types(header):
    header["fc1.gain"]["dtype"], header["fc1.gain"]["shape"] = "U8", [32]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (lambda h: h.pop("__metadata__"), "a safetensors file, but not an artifact of lbwdet"),
        (lambda h: h["__metadata__"].pop("crc32"), r"the metadata has \['lbwdet'\]"),
        (lambda h: h["__metadata__"].update(more=""), "the metadata has"),
        (lambda h: h["__metadata__"].update(crc32="00000000"), "damaged: the checksum"),
        (lambda h: h["__metadata__"].update(lbwdet="{"), "the document is not JSON"),
        (lambda h: h["__metadata__"].update(lbwdet="[]"), "format_version is None"),
        (rename, r"missing \['fc1.codes'\], unknown \['fc1.codez'\]"),
        (exchange_types, r"array 'fc1.gain' is uint8 \[32\] instead of float32"),
        (lambda h: h["fc1.gain"].update(shape=[2, 4]), "instead of float32 of one dimension"),
    ],
)
def test_headers_that_do_not_fit_are_refused(tampered, header, message):
    with pytest.raises(ArtifactError, match=message):
        read_artifact(tampered(header=header))


@pytest.mark.parametrize(
    ("exponent", "message"),
    [(128, "scale is not finite"), (-127, "exponent not in -126"), (-9999, "exponent not in -126")],
)
def test_exponents_beyond_float32_are_refused(small_file, tampered, exponent, message):
    length = int.from_bytes(small_file[:8], "little")
    begin, end = json.loads(small_file[8 : 8 + length])["fc1.scale_exponent"]["data_offsets"]
    packed = struct.pack("<h", exponent)
    path = tampered(data=lambda data: data[:begin] + packed + data[end:])
    with pytest.raises(ArtifactError, match=f"layer 'fc1': .*{message}"):
        read_artifact(path)


@pytest.fixture
def golden(golden_folder):
    return (golden_folder / "coded2.lbw").read_bytes()


def refused(path):
    """Whether the file is refused as it should be; any other exception fails the test."""
    try:
        assert isinstance(read_artifact(path), Artifact)
    except ArtifactError as error:
        assert str(error).startswith(str(path)) and len(str(error)) < 2000
        str(error).encode()
        return True
    return False


def test_a_changed_byte_is_always_noticed(golden, tmp_path):
    """By the checksum, if by nothing else."""
    path = tmp_path / "changed.lbw"
    random = Random(0)
    for position in range(0, len(golden), 7):
        content = bytearray(golden)
        content[position] ^= random.randrange(1, 256)
        path.write_bytes(content)
        assert refused(path), position


def test_a_file_cut_off_is_always_noticed(golden, tmp_path):
    path = tmp_path / "cut.lbw"
    for length in range(0, len(golden), 29):
        path.write_bytes(golden[:length])
        assert refused(path)
    path.write_bytes(golden + b"\0")
    assert refused(path)


FUZZ = int(os.environ.get("LBWDET_FUZZ", "500"))  # mutated files of each kind

WRONG = [
    None, True, 0, 1, -1, 2, 3, 4, 5, 7, 8, 64, 255, 256, 1 << 31, 1 << 70, -0.5, 0.1, 1e30, 1e-40,
    float("nan"), float("inf"), "", "image", "rois", "fc", "deflate", "uniform", "Conv", "F64",
    "\ud800", [], {}, [[]], [1, 1], [1, 1, 1, 1], [0, 8], {"type": "Conv"},
]  # fmt: skip


def places(value):
    """Every object or list in JSON with every key of it."""
    for key, child in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        if isinstance(child, dict | list):
            yield from places(child)


def mutated(golden, random):
    """One or two wrong values anywhere in the JSON, sometimes wrong data, under a right checksum.

    What a hostile file would be, not a damaged one.
    """
    length = int.from_bytes(golden[:8], "little")
    header, content = json.loads(golden[8 : 8 + length]), bytearray(golden[8 + length :])
    document = json.loads(header["__metadata__"]["lbwdet"])
    for _ in range(random.choice([1, 1, 2])):
        owner, key = random.choice(list(places(random.choice([document, document, header]))))
        if random.random() < 0.8:
            owner[key] = random.choice(WRONG)
        else:
            del owner[key]
    if random.random() < 0.3:
        content[random.randrange(len(content))] = random.randrange(256)
    metadata = header.get("__metadata__")
    if isinstance(metadata, dict) and {"lbwdet", "crc32"} <= set(metadata):
        text = json.dumps(document)
        crc = zlib.crc32(content, zlib.crc32(text.encode()))
        metadata.update(lbwdet=text, crc32=f"{crc:08x}")
    encoded = json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + content


@pytest.mark.parametrize("name", ["plain", "coded", "plain2", "coded2"])
def test_hostile_files_are_refused_or_valid(golden_folder, tmp_path, name):
    original = (golden_folder / f"{name}.lbw").read_bytes()
    path, random = tmp_path / "mutated.lbw", Random(0)
    outcomes = []
    for _ in range(FUZZ):
        path.write_bytes(mutated(original, random))
        outcomes.append(refused(path))
    assert 0.02 < 1 - sum(outcomes) / len(outcomes) < 0.5  # some changes are harmless


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "bytes.lbw"
    path.write_bytes(content)
    assert refused(path)


def test_a_hostile_file_takes_no_memory(tampered):
    """Layers that claim 2**28 weights and more, from a few kilobytes."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for shape in ([1 << 14, 1 << 14, 1, 1], [1 << 28, 1, 1, 1], [1 << 13, 1 << 10, 5, 5]):
        for encoding in ("bitpack", "deflate"):
            with pytest.raises(ArtifactError):
                read_artifact(tampered(layer("fc1", shape=shape, encoding=encoding)))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 50_000  # kilobytes


def test_reading_needs_numpy_alone():
    program = (
        "import sys, lbwdet.deploy.runtime.artifact;"
        "print({'torch', 'mmdet', 'mmcv', 'mmengine', 'cv2', 'safetensors'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout == "set()\n", run.stderr
