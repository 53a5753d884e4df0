import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from lbwdet.cli import main
from lbwdet.configs import load_config
from lbwdet.demos.image_demo import draw_images, image_demo, picture_names
from lbwdet.errors import ConfigError, DataError
from lbwdet.images import read_image
from lbwdet.measuring.candidates import TorchCandidate


@pytest.fixture
def images(voc_root, tmp_path) -> Path:
    """Sound images under odd names, broken ones, and things to be passed over."""
    folder = tmp_path / "my images"
    (folder / "nested.jpg" / "deeper").mkdir(parents=True)
    source = voc_root / "VOC2007" / "JPEGImages" / "000001.jpg"
    for name in ("a b.c.jpg", "ünï%20'\".JPG", "same.jpg", "nested.jpg/deeper/x.jpg"):
        shutil.copy(source, folder / name)
    cv2.imwrite(str(folder / "same.png"), np.zeros((40, 50), np.uint8))  # one channel
    (folder / "cut.jpg").write_bytes(source.read_bytes()[:2000])
    (folder / "empty.jpg").touch()
    (folder / "text.png").write_text("no image")
    (folder / "notes.txt").touch()
    return folder


def test_draws_what_can_be_read_and_names_the_rest(tiny, images, tmp_path, capsys):
    out = tmp_path / "drawn"
    command = ["image-demo", str(images), tiny.float_config, tiny.checkpoint]
    assert main([*command, "--out-dir", str(out), "--score-thr", "0.2"]) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "a b.c.jpg",
        "detections.json",
        "same.jpg.jpg",
        "same.png.jpg",
        "ünï%20'\".jpg",
    ]
    written = json.loads((out / "detections.json").read_text())
    assert set(written["images"]) == {"a b.c.jpg", "ünï%20'\".JPG", "same.jpg", "same.png"}
    reasons = written["failed"]
    assert set(reasons) == {"cut.jpg", "empty.jpg", "text.png"}
    assert "truncated" in reasons["cut.jpg"] and "empty file" in reasons["empty.jpg"]
    assert "not an image of a kind that is read" in reasons["text.png"]
    boxes = written["images"]["same.jpg"]
    assert boxes == written["images"]["a b.c.jpg"] and min(box["score"] for box in boxes) >= 0.2
    printed = capsys.readouterr()
    assert "in 4 images, 3 left out, " in printed.out and str(out) in printed.out
    assert (
        printed.err.count("left out: ") == 3 and f"left out: {images / 'cut.jpg'}: " in printed.err
    )
    original, drawn = read_image(images / "same.jpg"), cv2.imread(str(out / "same.jpg.jpg"))
    assert original.shape == drawn.shape and np.abs(original.astype(int) - drawn).max() > 50


def test_one_image_and_a_threshold_that_nothing_reaches(tiny, images, tmp_path):
    image = images / "nested.jpg" / "deeper" / "x.jpg"
    found = image_demo(image, tiny.six_bit_config, tiny.checkpoint, tmp_path / "o", score_thr=1)
    assert found["images"] == {"x.jpg": []} and found["failed"] == {}
    assert found["median_ms"] > 0


def test_nothing_to_draw(tiny, images, tmp_path):
    models = (tiny.float_config, tiny.checkpoint, tmp_path / "out")
    with pytest.raises(DataError, match="nope: no such image or folder"):
        image_demo(tmp_path / "nope", *models)
    with pytest.raises(DataError, match=r"deeper: no image in this folder \(looked for \.jpg"):
        (images / "nested.jpg" / "deeper" / "x.jpg").unlink()
        image_demo(images / "nested.jpg" / "deeper", *models)
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match=r"none of 1 images could be used:\n.*empty file"):
        image_demo(images / "empty.jpg", *models)
    written = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert written["images"] == {} and set(written["failed"]) == {"empty.jpg"}


def odd_images(folder: Path) -> None:
    cv2.imwrite(str(folder / "thin.png"), np.zeros((1, 20_000, 3), np.uint8))
    cv2.imwrite(str(folder / "wide.png"), np.zeros((800, 66_000), np.uint8))
    os.mkfifo(folder / "pipe.jpg")
    (folder / "a\nleft out: \x1b[2J.jpg").touch()


def test_odd_images_do_not_end_a_folder(tiny, images, tmp_path, capsys):
    odd_images(images)
    out = tmp_path / "drawn"
    command = ["image-demo", str(images), tiny.float_config, tiny.checkpoint, "--out-dir", str(out)]
    assert main(command) == 0
    written = json.loads((out / "detections.json").read_text())
    assert {"same.jpg", "wide.png"} <= set(written["images"])
    assert {"thin.png", "pipe.jpg", "a\nleft out: \x1b[2J.jpg"} <= set(written["failed"])
    assert "shape [1, 20000, 3] cannot be processed: " in written["failed"]["thin.png"]
    assert cv2.imread(str(out / "wide.png")).shape == (800, 66_000, 3)  # no JPEG is so long
    lines = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert len(lines) == 6 and not any("\x1b" in line for line in lines)


def test_an_interrupt_keeps_what_was_found(tiny, images, tmp_path, monkeypatch):
    def interrupt(path):
        if path.name == "same.png":
            raise KeyboardInterrupt
        return read_image(path)

    candidate = TorchCandidate("demo", load_config(tiny.float_config), tiny.checkpoint)
    with pytest.raises(KeyboardInterrupt):
        draw_images(candidate, images, tmp_path / "out", 0.3, interrupt)
    assert "same.jpg" in json.loads((tmp_path / "out" / "detections.json").read_text())["images"]


def test_the_configs_pipeline_loads_the_images(tiny, images, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(images / "same.jpg").save(images / "turned.jpg", exif=exif)
    key = "test_dataloader.dataset.pipeline"
    for color, upright in (("color", True), ("color_ignore_orientation", False)):
        pipeline = load_config(tiny.float_config).test_dataloader.dataset.pipeline
        pipeline[0]["color_type"] = color
        models = (tiny.float_config, tiny.checkpoint, tmp_path / color)
        image_demo(images / "turned.jpg", *models, cfg_options={key: pipeline})
        drawn = cv2.imread(str(tmp_path / color / "turned.jpg"))
        height, width = read_image(images / "same.jpg").shape[:2]
        assert drawn.shape[:2] == ((width, height) if upright else (height, width))


def test_images_are_never_replaced_by_their_drawings(tiny, images):
    for out_dir in (images, images / "nested.jpg" / ".."):
        with pytest.raises(ConfigError, match="the images themselves are there"):
            image_demo(images, tiny.float_config, tiny.checkpoint, out_dir)


def test_a_device_that_is_not_there(tiny, images, tmp_path):
    with pytest.raises(ConfigError, match="device 'abacus' cannot be used: "):
        image_demo(images, tiny.float_config, tiny.checkpoint, tmp_path, device="abacus")


def test_names_stay_distinct():
    paths = [Path("x") / name for name in ("a.png", "b.jpg", "b.jpeg", "c.d.bmp")]
    assert list(picture_names(paths).values()) == ["a.jpg", "b.jpg.jpg", "b.jpeg.jpg", "c.d.jpg"]
