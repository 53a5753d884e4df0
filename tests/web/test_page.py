"""The package and the page in a real browser; what Python's engine finds is what they must find."""

import base64
import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lbwdet.deploy.artifact_writer import artifact_bytes
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine
from lbwdet.deploy.testing import random_image, tiny_artifact
from tests.web.conftest import HERE, NODE, WEB, changed

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
ARTIFACT = tiny_artifact()
IMAGES = [random_image(seed, *size) for seed, size in enumerate([(96, 128), (80, 100), (90, 70)])]


class Handler(http.server.SimpleHTTPRequestHandler):
    """The package's folder, and at /files/ the test's."""

    def __init__(self, *arguments, files, **keywords):
        self.files = files
        super().__init__(*arguments, directory=str(WEB), **keywords)

    def translate_path(self, path):
        if path.startswith("/files/"):
            return str(self.files / Path(path.partition("?")[0]).name)
        return super().translate_path(path)

    def log_message(self, *_):
        pass


def unfit(document):
    """Sound by itself, but the engine cannot run it: a layer of 16 channels reads three."""
    operations = document["program"]["operations"]
    next(entry for entry in operations if entry.get("layer") == "p5")["input"] = "image"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("page")
    whole = artifact_bytes(ARTIFACT, entropy_coding=True)
    (path / "model.lbw").write_bytes(whole)
    (path / "second.lbw").write_bytes(artifact_bytes(tiny_artifact(4, bit_width=6)))
    large = tiny_artifact(channels=32, size=(3000, 3000))
    (path / "large.lbw").write_bytes(artifact_bytes(large))
    (path / "unfit.lbw").write_bytes(changed(whole, unfit))
    (path / "damaged.lbw").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    (path / "damaged.png").write_bytes(b"no picture")
    images = []
    for number, image in enumerate(IMAGES):
        red_first = image[..., ::-1]
        Image.fromarray(red_first.copy()).save(path / f"{number}.png")
        opaque = np.full((*image.shape[:2], 1), 255, np.uint8)
        data = base64.b64encode(np.concatenate([red_first, opaque], -1).tobytes()).decode()
        images.append({"data": data, "width": image.shape[1], "height": image.shape[0]})
    (path / "images.json").write_text(json.dumps(images))
    return path


@pytest.fixture(scope="module")
def findings(built, folder):
    """What tests/web/look_at_page.mjs found; LBWDET_SCREENSHOTS is where its pictures are kept."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    if not (WEB / "node_modules" / "playwright-core").is_dir():
        pytest.skip("playwright-core is not installed: npm install --prefix web")
    handler = functools.partial(Handler, files=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        command = [NODE, str(HERE / "look_at_page.mjs"), CHROMIUM, address, str(folder)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=600)
        server.shutdown()
    assert result.returncode == 0, result.stderr
    if kept := os.environ.get("LBWDET_SCREENSHOTS"):
        for picture in folder.glob("*.png"):
            if not picture.stem.isdigit():
                shutil.copy(picture, kept)
    found = json.loads((folder / "findings.json").read_text())
    assert {name: part for name, part in found.items() if "failed" in part} == {}
    return found


@pytest.fixture(scope="module")
def expected():
    engine = ReferenceEngine(ARTIFACT)
    found = [engine.detect(image) for image in IMAGES]
    assert all(len(scores) > 2 for _, scores, _ in found)
    return [
        {
            "boxes": boxes.ravel().tolist(),
            "scores": scores.tolist(),
            "labels": labels.tolist(),
            "names": [ARTIFACT.classes[label] for label in labels],
        }
        for boxes, scores, labels in found
    ]


def test_nothing_failed_on_the_way(findings):
    assert findings["console"] == []


def test_the_package_finds_what_python_finds(findings, expected):
    package = findings["package"]
    assert package["found"] == {"portable": expected, "simd128": expected}
    assert package["files"] == expected
    assert package["classes"] == list(ARTIFACT.classes)
    assert package["fastest"] == "simd128"
    assert package["threshold"] == sum(s >= expected[0]["scores"][1] for s in expected[0]["scores"])
    assert package["order"] == [0, 1, 2]


def test_an_image_is_cancelled_and_the_next_answered(findings, expected):
    package = findings["package"]
    assert package["cancelled"].startswith("AbortError")
    assert package["cancelledAfter"] < 5000
    assert package["early"].startswith("AbortError")
    assert package["ended"] == ["EngineError: this detector was closed"] * 3
    assert package["afterwards"] == package["recovered"] == expected[0]


@pytest.mark.parametrize(
    "what, message",
    [
        ("closed", "EngineError: this detector was closed"),
        ("damaged", "ArtifactError: damaged: the checksum does not fit the content"),
        ("short", "ArtifactError: 3 bytes are too few for an artifact; is it cut off?"),
        ("missing", "ArtifactError: /files/nowhere.lbw cannot be read: status 404"),
        ("program", "EngineError: Conv p5: "),
        ("set", "EngineError: instructionSet is avx; there are portable, simd128"),
        ("huge", "ImageError: the image has 1048576 x 1048576 pixels; 1 to"),
        ("wrong", "ImageError: 5 numbers are not 1 x 1 pixels of red, green, blue, opacity"),
        ("noImage", "ImageError: no image that a browser reads"),
    ],
)
def test_errors_are_sentences(findings, what, message):
    assert findings["package"]["errors"][what].startswith(message)


def listed(expected, threshold):
    pairs = zip(expected["names"], expected["scores"], strict=True)
    return [f"{name} {score:.2f}" for name, score in pairs if score >= np.float32(threshold)]


def test_the_page_shows_what_python_finds(findings, expected):
    page = findings["page"]
    assert page["first"] == listed(expected[0], 0.3)[:30]
    assert page["second"] == listed(expected[1], 0.3)[:30]
    assert page["label"].startswith("The image with boxes: class")
    assert page["strict"] == len(listed(expected[1], 0.95))
    assert page["loose"] == min(30, len(listed(expected[1], 0.05)))
    assert re.fullmatch(r"\d+ kB, 3 classes, simd128, ready after \d+ ms", page["facts"])


def test_a_second_model_stands_beside(findings):
    page = findings["page"]
    assert page["panels"] == ["model.lbw", "second.lbw"]
    assert all(number > 0 for number in page["dropped"])


def test_the_page_says_what_went_wrong(findings):
    page = findings["page"]
    assert page["start"][0] == "Choose a model.lbw, or drop it here."
    assert page["damaged"][0].startswith("Damaged.lbw: damaged: the checksum")
    assert page["problemGone"]
    assert page["noPicture"] == ["Damaged.png is no picture that this browser reads"]


def test_films_are_looked_at(findings):
    films = findings["films"]
    assert " ms for " in films["camera"] and " for 160 " in films["video"]
    assert films["stopped"] == ["Stopped."]
    assert films["goesOn"]


def test_the_page_works_without_a_network(findings, expected):
    assert findings["offline"]["found"] == listed(expected[0], 0.3)[:30]


def test_the_page_fits_a_phone_and_a_screen_reader(findings):
    phone = findings["phone"]
    assert phone["wide"] <= phone["width"]
    assert phone["nameless"] == 0
