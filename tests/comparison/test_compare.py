import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest

from lbwdet.cli import main
from lbwdet.comparison.compare import CompareSettings, compare
from lbwdet.comparison.specs import ModelSpec
from lbwdet.configs import load_config
from lbwdet.errors import CheckpointError, ConfigError, DataError
from lbwdet.measuring.candidates import Detections
from lbwdet.measuring.size import WeightSize
from lbwdet.measuring.testset import load_test_set
from tests.tiny_detectors import CLASSES, write_config

KEYS = {"protocol", "dataset", "num_images", "left_out", "commit", "cpu", "threads", "models"}
MODEL_KEYS = {
    "name",
    "config",
    "bit_width",
    "mAP_11point",
    "mAP_area",
    "per_class",
    "weight_bytes",
    "engine",
    "latency_ms",
}


def test_json_has_the_agreed_keys(compared):
    assert set(compared.json) == KEYS
    assert compared.json["num_images"] == 3 and compared.json["threads"] == 1
    for model, bit_width in zip(compared.json["models"], (32, 6), strict=True):
        assert set(model) >= MODEL_KEYS
        assert model["engine"] == "torch" and model["bit_width"] == bit_width
        assert set(model["latency_ms"]) >= {"median", "p10", "p90"}
        assert 0 <= model["mAP_11point"] <= 1 and 0 <= model["mAP_area"] <= 1
        assert list(model["per_class"]) == list(CLASSES)
        assert model["per_class"]["never seen"]["AP_11point"] is None
    assert compared.json["models"][1]["weight_bytes"] < compared.json["models"][0]["weight_bytes"]
    assert compared.returned == compared.json


def test_all_files_are_there_and_nothing_half_written(compared):
    files = {
        str(path.relative_to(compared.out)) for path in compared.out.rglob("*") if path.is_file()
    }
    assert {name for name in files if not name.startswith("cache/")} == {
        "compare.json",
        "compare.md",
        "detections.png",
        "plots/latency.png",
        "plots/map_against_bytes.png",
        "plots/per_class.png",
        "plots/precision_recall.png",
        "report/index.html",
    }


def test_a_second_run_reuses_detections_and_timings(compared, tiny, monkeypatch):
    def never(*arguments, **keywords):
        raise AssertionError("ran again")

    monkeypatch.setattr("lbwdet.measuring.cache.detect_all", never)
    monkeypatch.setattr("lbwdet.comparison.compare.measure", never)
    again = compare(tiny.specs, compared.out, CompareSettings(threads=1, latency_rounds=1))
    assert again == compared.json


def test_the_markdown_holds_no_html_of_class_names(compared):
    text = (compared.out / "compare.md").read_text()
    assert "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;" in text and "<img" not in text


def test_odd_images_are_left_out_and_named(tiny, tmp_path):
    shutil.copytree(tiny.root, tmp_path / "data")
    image = tmp_path / "data/VOC2007/JPEGImages/000002.jpg"
    image.unlink()
    cv2.imwrite(str(image.with_suffix(".png")), np.zeros((1, 20_000, 3), np.uint8))
    settings = CompareSettings(threads=1, latency_rounds=0, data_root=tmp_path / "data")
    found = compare(tiny.specs[:1], tmp_path / "out", settings)
    (reason,) = found["left_out"]
    assert found["num_images"] == 2 and "000002.png: 20000 x 1 pixels: " in reason
    assert "Left out: " in (tmp_path / "out" / "compare.md").read_text()


def test_no_latency_is_null(tiny, tmp_path):
    found = compare(
        tiny.specs[:1], tmp_path, CompareSettings(threads=1, latency_rounds=0, num_images=1)
    )
    assert found["models"][0]["latency_ms"] is None and found["num_images"] == 1
    assert "not measured" in (tmp_path / "compare.md").read_text()


class FixedCandidate:
    """Some other engine: finds exactly what it is told to find."""

    engine = "fixed"
    config = "artifact.lbw"
    checkpoint = None
    size = WeightSize(100, 800, 4, {4: 200})

    def __init__(self, name, test_set, score):
        self.name, self.digest, self.classes = name, f"{name}{score}", test_set.classes
        self.answers = {
            test_set.load(index).tobytes(): image.truth
            for index, image in enumerate(test_set.images)
        }
        self.score = score

    def layers(self):
        return []

    def detect(self, image):
        truth = self.answers[image.tobytes()]
        scores = np.full(len(truth.labels), self.score, np.float32)
        return Detections(truth.boxes, scores, truth.labels)


def test_an_image_that_one_model_cannot_take_is_left_out_for_all(tiny, tmp_path):
    test_set = load_test_set(load_config(tiny.float_config))

    class Picky(FixedCandidate):
        def detect(self, image):
            if np.array_equal(image, test_set.load(1)):
                raise DataError("not this one")
            return super().detect(image)

    models = [FixedCandidate("all", test_set, 0.9), Picky("picky", test_set, 0.8)]
    settings = CompareSettings(threads=1, latency_rounds=0)
    found = compare(models, tmp_path, settings, test_set)
    assert found["num_images"] == 2
    assert found["left_out"] == [f"{test_set.images[1].path.name}: not this one"]


def test_any_engine_can_take_part(tiny, tmp_path):
    test_set = load_test_set(load_config(tiny.float_config))
    perfect = FixedCandidate("perfect", test_set, 0.9)
    found = compare(
        [tiny.specs[0], perfect], tmp_path / "a", CompareSettings(threads=1, latency_rounds=0)
    )
    assert found["models"][1]["mAP_11point"] == 1 and found["models"][1]["engine"] == "fixed"
    alone = compare(
        [perfect], tmp_path / "b", CompareSettings(threads=1, latency_rounds=1), test_set=test_set
    )
    assert alone["models"][0]["mAP_area"] == 1
    with pytest.raises(
        ConfigError, match="no model comes with a config: say whose test images, --test-set"
    ):
        compare([perfect], tmp_path / "c")


def test_names_must_differ(tiny, tmp_path):
    same = replace(tiny.specs[1], name=tiny.specs[0].name)
    with pytest.raises(ConfigError, match=r'two models are called float "<i>'):
        compare([tiny.specs[0], same], tmp_path)
    with pytest.raises(ConfigError, match="nothing to compare"):
        compare([], tmp_path)


def test_another_test_set_is_an_error_that_says_so(tiny, tmp_path):
    config = write_config(tmp_path / "a.py", tiny.root, ("cat", CLASSES[1], "cow"))
    other = ModelSpec("other", config, tiny.checkpoint)
    with pytest.raises(ConfigError, match=r"not tested on the same thing: classes cat.*cow"):
        compare([tiny.specs[0], other], tmp_path)
    assert not list(tmp_path.glob("compare*"))  # nothing was written


def test_missing_files_are_named(tiny, tmp_path):
    with pytest.raises(ConfigError, match=r"absent.py: no such config"):
        compare([ModelSpec("a", "absent.py", tiny.checkpoint)], tmp_path)
    with pytest.raises(CheckpointError, match=r"absent.pth: no such checkpoint"):
        compare([ModelSpec("a", tiny.float_config, "absent.pth")], tmp_path)
    with pytest.raises(DataError, match="nowhere"):
        compare(tiny.specs[:1], tmp_path, CompareSettings(data_root=tmp_path / "nowhere"))


def test_a_config_without_a_test_set(tiny, tmp_path):
    path = tmp_path / "a.py"
    path.write_text("model = dict()")
    with pytest.raises(ConfigError, match=r"a.py: no 'test_dataloader'"):
        compare([ModelSpec("a", str(path), tiny.checkpoint)], tmp_path)


def test_config_options_reach_the_model(tiny, tmp_path):
    options = {"model.test_cfg.rcnn.max_per_img": 1}
    found = compare(
        tiny.specs[:1],
        tmp_path,
        CompareSettings(threads=1, latency_rounds=0, cfg_options=options, num_images=1),
    )
    assert sum(entry["num_dets"] for entry in found["models"][0]["per_class"].values()) == 1


def test_the_command_compares_and_prints_the_table(tiny, tmp_path, capsys):
    model = f"tiny={tiny.six_bit_config}:{tiny.checkpoint}"
    options = ["--out", str(tmp_path), "--threads", "1", "--no-latency", "--num-images", "2"]
    override = ["--cfg-options", "model.test_cfg.rcnn.max_per_img=1"]
    assert main(["compare", model, *options, *override]) == 0
    printed = capsys.readouterr().out
    assert "| tiny " in printed and "report/index.html" in printed
    written = json.loads((tmp_path / "compare.json").read_text())
    assert sum(one["num_dets"] for one in written["models"][0]["per_class"].values()) <= 2
