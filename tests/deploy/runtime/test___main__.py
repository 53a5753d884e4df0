"""The command line of the runtime: an image and an artifact in, boxes out."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lbwdet.deploy.artifact_writer import write_artifact
from lbwdet.deploy.runtime.__main__ import main, read_image
from lbwdet.deploy.runtime.detector import Detector
from lbwdet.deploy.testing import random_image, tiny_artifact

IMAGE = random_image(2, 60, 80)


@pytest.fixture
def files(tmp_path):
    write_artifact(tmp_path / "model.lbw", tiny_artifact())
    Image.fromarray(IMAGE[..., ::-1].copy()).save(tmp_path / "image.png")
    return str(tmp_path / "image.png"), str(tmp_path / "model.lbw")


def test_prints_and_draws(files, tmp_path, capsys):
    out = tmp_path / "found.png"
    assert main([*files, "--engine=reference", "--score-thr=0.1", f"--out={out}"]) == 0
    result = Detector(files[1], engine="reference", score_threshold=0.1)(IMAGE)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(result) > 0
    assert lines[0].startswith(f"{result.names[0]} {result.scores[0]:.3f}  ")
    drawn = np.asarray(Image.open(out))
    assert drawn.shape == IMAGE.shape and (drawn != IMAGE[..., ::-1]).any()


def test_nothing_above_the_threshold(files, capsys):
    assert main([*files, "--engine=reference", "--score-thr=1"]) == 0
    assert capsys.readouterr().out == ""


def test_images_are_upright_and_blue_first(tmp_path, files):
    assert np.array_equal(read_image(files[0]), IMAGE)
    turned = Image.fromarray(np.rot90(IMAGE)[..., ::-1].copy())
    exif = Image.Exif()
    exif[274] = 6  # to be turned clockwise
    turned.save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read_image(str(tmp_path / "turned.png")), IMAGE)
    Image.fromarray(IMAGE[..., 0]).save(tmp_path / "grey.png")
    assert np.array_equal(read_image(str(tmp_path / "grey.png")), IMAGE[..., [0, 0, 0]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.png", "MODEL"], "nowhere.png: no image that can be read"),
        (["MODEL", "MODEL"], "no image that can be read"),
        (["IMAGE", "IMAGE"], "image.png"),
        (["IMAGE", "MODEL", "--engine=gpu"], "engine='gpu' is not known"),
        (["IMAGE", "MODEL", "--score-thr=2"], "score_threshold=2.0"),
        (["IMAGE", "MODEL", "--out=FOLDER/out.xyz"], "out.xyz: cannot be written"),
    ],
)
def test_bad_input(files, arguments, message, capsys, tmp_path):
    places = {"IMAGE": files[0], "MODEL": files[1], "FOLDER": str(tmp_path)}
    for name, value in places.items():
        arguments = [argument.replace(name, value) for argument in arguments]
    before = sorted(path.name for path in tmp_path.iterdir())
    if not any(argument.startswith("--engine") for argument in arguments):
        arguments = [*arguments, "--engine=reference"]
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_without_pillow(files, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert main([*files, "--engine=reference"]) == 2
    assert "pip install 'lbwdet[runtime]'" in capsys.readouterr().err


def test_as_a_module():
    run = subprocess.run(
        [sys.executable, "-m", "lbwdet.deploy.runtime", "--help"], capture_output=True, text=True
    )
    assert run.returncode == 0 and "--threads" in run.stdout
