"""Files from artifacts: the documented bytes, all or nothing."""

import dataclasses
import os
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbwdet.deploy.artifact_writer import artifact_bytes, write_artifact
from lbwdet.deploy.runtime.artifact import read_artifact
from lbwdet.deploy.runtime.program import Program
from lbwdet.deploy.testing import tiny_artifact
from lbwdet.errors import ArtifactError


def assert_equal(a, b):
    assert (a.program, a.classes, a.info) == (b.program, b.classes, b.info)
    assert list(a.weights) == list(b.weights)
    for layer, weight in a.weights.items():
        for field in dataclasses.fields(weight):
            x, y = getattr(weight, field.name), getattr(b.weights[layer], field.name)
            assert type(x) is type(y)
            if isinstance(x, np.ndarray):
                assert x.dtype == y.dtype
                np.testing.assert_array_equal(x, y)
            else:
                assert x == y


@pytest.mark.parametrize("name", ["plain", "coded", "plain2", "coded2"])
def test_the_golden_files_hold_what_they_held(name, golden_folder, golden_artifact):
    """If this fails, files written before can no longer be read: raise the format version."""
    assert_equal(read_artifact(golden_folder / f"{name}.lbw"), golden_artifact)


@pytest.mark.parametrize(
    ("name", "version"), [("plain", 1), ("coded", 1), ("plain2", 2), ("coded2", 2)]
)
def test_the_golden_files_are_of_their_format(name, version, golden_folder):
    content = (golden_folder / f"{name}.lbw").read_bytes()
    assert b'{\\"format_version\\":%d,' % version in content


def test_the_golden_bytes(golden_folder, golden_artifact):
    """Coded bytes are up to zlib; what they decode to is tested above."""
    assert b'\\"deflate\\"' in (golden_folder / "coded2.lbw").read_bytes()
    assert artifact_bytes(golden_artifact) == (golden_folder / "plain2.lbw").read_bytes()


OPTIONS = st.fixed_dictionaries(
    {
        "bit_width": st.integers(1, 8),
        "code": st.sampled_from(["paper", "dense", "uniform"]),
        "granularity": st.sampled_from(["tensor", "channel"]),
        "activation_bits": st.sampled_from([4, 8]),
        "class_agnostic": st.booleans(),
    }
)


TWO_TERM = st.fixed_dictionaries(
    {
        "bit_width": st.sampled_from([4, 5, 6]),
        "code": st.just("two-term"),
        "granularity": st.sampled_from(["tensor", "channel"]),
    }
)


@given(OPTIONS | TWO_TERM, st.booleans(), st.integers(0, 9))
@settings(max_examples=25)
def test_artifacts_come_back(tmp_path_factory, options, entropy_coding, seed):
    artifact = tiny_artifact(seed, channels=2, **options)
    path = tmp_path_factory.getbasetemp() / "came_back.lbw"
    assert write_artifact(path, artifact, entropy_coding) == path.stat().st_size
    assert_equal(read_artifact(path), artifact)


def test_equal_artifacts_give_equal_bytes():
    assert artifact_bytes(tiny_artifact(3), True) == artifact_bytes(tiny_artifact(3), True)


def test_entropy_coding_is_for_the_layers_that_gain_by_it():
    artifact = tiny_artifact(bit_width=6, code="paper")
    assert len(artifact_bytes(artifact, True)) < 0.85 * len(artifact_bytes(artifact))
    assert b"deflate" not in artifact_bytes(tiny_artifact(bit_width=1, channels=2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("one",)}, "3 different names"),
        ({"info": {"x": object()}}, "what is not JSON"),
        ({"info": {"x": float("nan")}}, "what is not JSON"),
        ({"info": {"x": "\ud800"}}, "not JSON"),
        ({"info": {1: "x"}}, "JSON does not give back"),
        ({"info": {"x": (1, 2)}}, "JSON does not give back"),
        ({"program": Program((), {})}, "no operations"),
    ],
)
def test_nothing_is_written_of_what_could_not_be_read(tmp_path, changes, message):
    path = tmp_path / "model.lbw"
    path.write_text("before")
    with pytest.raises(ArtifactError, match=message):
        write_artifact(path, dataclasses.replace(tiny_artifact(), **changes))
    assert path.read_text() == "before" and os.listdir(tmp_path) == ["model.lbw"]


def test_a_scale_of_powers_of_two_must_be_one():
    artifact = tiny_artifact(channels=2)
    weight = dataclasses.replace(artifact.weights["fc1"], scale=np.array([0.3], np.float32))
    artifact.weights["fc1"] = weight
    with pytest.raises(ArtifactError, match="'fc1': a scale of the dense code is no power of two"):
        artifact_bytes(artifact)


def test_the_page_shows_the_bytes_of_the_golden_file(golden_folder):
    page = (golden_folder.parents[2] / "docs" / "format.md").read_text()
    dumps = re.findall(r"<!-- (plain2?\.lbw) 0x(\w+) -->\n```text\n(.*?)```", page, re.S)
    assert len(dumps) == 3
    for name, start, dump in dumps:
        content = (golden_folder / name).read_bytes()
        shown = bytes.fromhex("".join(line[6:53] for line in dump.splitlines()))
        assert content[int(start, 16) :].startswith(shown)
