"""The browser's reader of artifacts: what Python refuses, damaged files, and the generated part."""

import json
import random
import subprocess

import pytest

from lbwdet import __version__
from lbwdet.deploy.artifact_writer import artifact_bytes
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.operations import every_operation
from lbwdet.deploy.testing import tiny_artifact, tiny_rfcn_artifact
from tests.web.conftest import HERE, NODE, WEB, changed

SMALL = artifact_bytes(tiny_artifact(channels=2, num_classes=2), entropy_coding=True)


@pytest.fixture(scope="module")
def read(built, tmp_path_factory):
    """What tests/web/read_files.mjs says of files: 'ok', or the error."""

    def run(files: list[bytes]) -> list[str]:
        folder = tmp_path_factory.mktemp("files")
        for number, file in enumerate(files):
            (folder / f"{number}.lbw").write_bytes(file)
        command = [NODE, str(HERE / "read_files.mjs"), str(folder), str(len(files))]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    return run


def mutants(file: bytes, number: int):
    """Damaged copies of a file: bytes changed, cut off, repeated."""
    draw = random.Random(0)
    for _ in range(number):
        damaged = bytearray(file)
        match draw.randrange(3):
            case 0:
                for _ in range(draw.randint(1, 4)):
                    damaged[draw.randrange(len(file))] = draw.randrange(256)
            case 1:
                del damaged[draw.randrange(len(file)) :]
            case _:
                at = draw.randrange(len(file))
                damaged[at:at] = damaged[at : at + draw.randint(1, 64)]
        if damaged != file:
            yield bytes(damaged)


def document_mutants(number: int):
    """Copies whose document says something else, with a checksum that fits."""
    draw = random.Random(1)
    odd = [None, -1, 0, 1e300, 2**31, "", "x", [], {}, [[]], True, "p5", 0.5, {"type": "Conv"}]

    def places(value, path=()):
        if isinstance(value, dict | list):
            for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                yield (*path, key)
                yield from places(item, (*path, key))

    def change(document):
        *way, last = draw.choice(list(places(document)))
        for key in way:
            document = document[key]
        match draw.randrange(3):
            case 0 if isinstance(document, dict):
                del document[last]
            case 1 if isinstance(document, list):
                document.append(document[last])
            case _:
                document[last] = draw.choice(odd)

    return [changed(SMALL, change) for _ in range(number)]


def test_sound_files_are_read(read):
    files = [SMALL, artifact_bytes(tiny_artifact()), artifact_bytes(tiny_rfcn_artifact())]
    assert read(files) == ["ok"] * 3


def test_damaged_files_are_refused_in_a_sentence(read):
    files = list(mutants(SMALL, 400))
    found = read(files)
    assert [answer for answer in found if not answer.startswith("ArtifactError: ")] == []
    assert len(set(found)) > 20


def test_odd_documents_are_refused_or_end_in_an_error_of_the_engine(read):
    """Python's check of how sizes fit together is not made: the engine is told, and refuses."""
    found = read(document_mutants(400))
    wrong = [
        answer
        for answer in found
        if answer != "ok" and not answer.startswith(("ArtifactError: ", "EngineError: "))
    ]
    assert wrong == []
    assert sum(answer.startswith("ArtifactError: ") for answer in found) > 200


def set_version(version):
    def change(document):
        document["format_version"] = version

    return change


@pytest.mark.parametrize(
    "file, message",
    [
        (b"", "0 bytes are too few for an artifact; is it cut off?"),
        (b"\xff" * 64, "not an artifact: its first 8 bytes give a header of"),
        (SMALL[:-9], "cut off: the arrays take"),
        (SMALL + b"x", "too long: the arrays take"),
        (changed(SMALL, set_version(1)), "format_version is 1, this page reads 2 alone"),
        (changed(SMALL, set_version(3)), "format_version is 3, this page reads 2 alone: reload"),
        ((2).to_bytes(8, "little") + b"{}", "a safetensors file, but not an artifact of lbwdet"),
        (
            (13).to_bytes(8, "little") + b'{"a":1,"a":2}',
            "the header is not JSON: an object repeats",
        ),
    ],
)
def test_messages_say_what_to_do(read, file, message):
    (found,) = read([file])
    assert found.startswith(f"ArtifactError: {message}")


def test_operations_with_constants_have_their_file():
    """An operation that is new in Python and needs numbers is missing here until it has them."""
    files = {path.stem for path in (WEB / "lbwdet" / "operations").glob("*.js")}
    needed = {
        kind.__module__.rpartition(".")[2]
        for kind in every_operation().values()
        if kind.__module__.startswith("lbwdet.deploy.runtime.operations.")
        and kind.constants is not Operation.constants
    }
    assert files == needed


def test_the_package_has_the_version_of_the_project():
    assert json.loads((WEB / "package.json").read_text())["version"] == __version__


def test_the_sources_are_typed():
    compiler = WEB / "node_modules" / "typescript" / "bin" / "tsc"
    if NODE is None or not compiler.is_file():
        pytest.skip("TypeScript is not installed: npm install --prefix web")
    result = subprocess.run(
        [NODE, str(compiler), "-p", str(WEB)], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stdout
