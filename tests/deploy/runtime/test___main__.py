"""The command line of the runtime: an image and an artifact in, boxes out."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lbwdet.deploy.artifact_writer import write_artifact
from lbwdet.deploy.runtime.__main__ import draw, main
from lbwdet.deploy.runtime.arithmetic.paste import runs_of
from lbwdet.deploy.runtime.detector import DetectionResult, Detector
from lbwdet.deploy.runtime.masks import Mask
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


def result_of(names, boxes):
    count = len(names)
    labels = np.arange(count, dtype=np.int64)
    return DetectionResult(np.array(boxes, np.float32), np.full(count, 0.5), labels, tuple(names))


def test_masks_are_drawn_and_written(tmp_path):
    pixels = np.zeros(IMAGE.shape[:2], bool)
    pixels[10:20, 30:40] = True
    mask = Mask(pixels.shape, runs_of(pixels, (0, 0), pixels.shape))
    result = dataclasses.replace(result_of("a", [(25, 5, 45, 25)]), masks=(mask,))
    draw(IMAGE, result, str(tmp_path / "a.png"))
    drawn = np.asarray(Image.open(tmp_path / "a.png"))[..., ::-1]
    changed = (drawn != IMAGE).any(-1)
    assert changed[10:20, 30:40].mean() > 0.9 and not changed[35:, 50:].any()
    assert result.as_json() == [
        dict(label="a", score=0.5, box=[25, 5, 45, 25], mask=mask.coco()),
    ]


def test_json(files, tmp_path):
    out = tmp_path / "found.json"
    assert main([*files, "--engine=reference", "--score-thr=0.1", f"--json={out}"]) == 0
    result = Detector(files[1], engine="reference", score_threshold=0.1)(IMAGE)
    assert json.loads(out.read_text()) == result.as_json() and len(result) > 0
    assert main([*files, "--engine=reference", f"--json={tmp_path}"]) == 2


def test_any_box_can_be_drawn(tmp_path):
    boxes = [(40, 30, 10, 5), (np.nan, 0, np.inf, 9), (-1e30, -5, 1e30, 1e9), (7, 7, 7, 7)]
    draw(IMAGE, result_of("abcd", boxes), str(tmp_path / "a.png"))
    assert np.asarray(Image.open(tmp_path / "a.png")).shape == IMAGE.shape


def test_letters_that_no_font_has_are_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("lbwdet.lettering._FILES", ())
    monkeypatch.delenv("LBWDET_FONT", raising=False)
    draw(IMAGE, result_of(["猫"], [(5, 20, 30, 40)]), str(tmp_path / "a.png"))
    assert "no font here has the letters of 猫: drawn by their numbers" in capsys.readouterr().err
    draw(IMAGE, result_of(["class 0"], [(5, 20, 30, 40)]), str(tmp_path / "b.png"))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_names_forge_no_lines(files, tmp_path, capsys):
    name = "cat 1.000\ndog 1.000\x1b[2J"
    artifact = dataclasses.replace(tiny_artifact(), classes=(name, *tiny_artifact().classes[1:]))
    write_artifact(tmp_path / "model.lbw", artifact)
    arguments = [*files, "--engine=reference", "--score-thr=0", f"--out={tmp_path / 'a.png'}"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(Detector(files[1], engine="reference")(IMAGE))
    assert any(line.startswith("cat 1.000\\ndog 1.000\\x1b[2J ") for line in lines)


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_nobody_reads_the_output(files, encoding):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "lbwdet.deploy.runtime", *files, "--score-thr=0"]
    environment = dict(os.environ, PYTHONIOENCODING=encoding)
    with os.fdopen(writer, "w") as closed:
        run = subprocess.run(
            [*command, "--engine=reference"],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
    assert (run.returncode, run.stderr) == (141, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.png", "MODEL"], "nowhere.png: no such file"),
        (["MODEL", "MODEL"], "not an image of a kind that is read here"),
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
