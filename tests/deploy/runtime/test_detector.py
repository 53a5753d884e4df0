import copy
import pickle
import threading

import numpy as np
import pytest

from lbwdet.deploy.artifact_writer import write_artifact
from lbwdet.deploy.runtime import native_library
from lbwdet.deploy.runtime.detector import DetectionResult, Detector
from lbwdet.deploy.runtime.masks import Mask
from lbwdet.deploy.runtime.native_library import NativeError
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine
from lbwdet.deploy.testing import random_image, tiny_artifact
from lbwdet.errors import ArtifactError, ConfigError, DataError

IMAGE = random_image(0, 60, 80)


@pytest.fixture(scope="module")
def detector():
    return Detector(tiny_artifact(), engine="reference")


def test_from_a_file(tmp_path, detector):
    write_artifact(tmp_path / "model.lbw", tiny_artifact())
    found = Detector(tmp_path / "model.lbw", engine="reference")(IMAGE)
    assert isinstance(found, DetectionResult)
    boxes, scores, labels = ReferenceEngine(tiny_artifact()).detect(IMAGE)
    assert np.array_equal(found.boxes, boxes) and np.array_equal(found.scores, scores)
    assert found.names == tuple(f"class{label}" for label in labels)
    assert len(found) == len(scores) > 5
    assert np.array_equal(detector(IMAGE).boxes, boxes)


def test_only_scores_above_the_threshold(detector):
    every = detector(IMAGE).scores
    threshold = float(every[len(every) // 2])
    found = Detector(tiny_artifact(), engine="reference", score_threshold=threshold)(IMAGE)
    assert np.array_equal(found.scores, every[every >= threshold])
    assert len(found) == len(found.names) == len(found.boxes) == len(found.labels) > 0


def test_above_keeps_what_belongs_together():
    masks = tuple(Mask((1, 4), np.array([index, 1, 3 - index], np.uint32)) for index in range(4))
    boxes, scores = np.arange(16, dtype=np.float32).reshape(4, 4), np.float32([0.9, 0.7, 0.5, 0.1])
    found = DetectionResult(boxes, scores, np.arange(4), ("a", "b", "c", "d"), masks).above(0.5)
    assert found.names == ("a", "b", "c") and found.masks == masks[:3]  # 0.5, too
    assert np.array_equal(found.boxes, boxes[:3]) and found.labels.tolist() == [0, 1, 2]
    assert found.above(1.0).as_json() == []


def test_any_memory_layout(detector):
    expected = detector(IMAGE[::-1, ::-1].copy())
    assert np.array_equal(detector(IMAGE[::-1, ::-1]).boxes, expected.boxes)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (IMAGE[..., 0], r"has the shape \[60, 80\]; \[H, W, 3\] is needed: repeat a grey"),
        (np.zeros((60, 80, 4), np.uint8), r"has the shape \[60, 80, 4\].*drop an alpha"),
        (IMAGE[None], r"has the shape \[1, 60, 80, 3\].*one by one"),
        (IMAGE / 255, "is float64; uint8 with values 0 to 255"),
        (np.zeros((0, 80, 3), np.uint8), r"has 0 pixels, \[0, 80, 3\]; 1 to"),
        (np.lib.stride_tricks.as_strided(IMAGE, (1 << 15, 1 << 15, 3), (0, 0, 1)), "pixels"),
        ("image.jpg", r"not str; read files with cv2\.imread"),
        (None, "not NoneType"),
    ],
)
def test_what_is_no_image(detector, image, message):
    with pytest.raises(DataError, match=message):
        detector(image)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(engine="gpu"), "engine='gpu' is not known; choose from native, reference"),
        (dict(engine="reference", threads=2), "takes no threads="),
        (dict(engine="reference", score_threshold=2.0), "score_threshold=2.0: scores lie between"),
    ],
)
def test_what_cannot_be_set(settings, message):
    with pytest.raises(ConfigError, match=message):
        Detector(tiny_artifact(), **settings)


def test_a_missing_file(tmp_path):
    with pytest.raises(ArtifactError, match=r"model\.lbw"):
        Detector(tmp_path / "model.lbw", engine="reference")


def test_a_native_engine_that_was_not_built(monkeypatch):
    monkeypatch.setattr(native_library, "library_path", lambda: None)
    with pytest.raises(NativeError, match=r"C\+\+ compiler.*or use engine='reference'"):
        Detector(tiny_artifact())


def test_pickled_as_what_it_was_made_of(tmp_path, detector):
    path = tmp_path / "model.lbw"
    write_artifact(path, tiny_artifact())
    threshold = float(detector(IMAGE).scores[3])
    for source in (path, tiny_artifact()):
        made = Detector(source, engine="reference", score_threshold=threshold)
        for again in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
            assert again.engine is not made.engine and again.classes == made.classes
            assert len(again(IMAGE)) == 4  # the fourth has that score
            assert np.array_equal(again(IMAGE).boxes, made(IMAGE).boxes)


def test_a_pickled_file_is_found_from_anywhere(tmp_path, monkeypatch):
    write_artifact(tmp_path / "model.lbw", tiny_artifact())
    monkeypatch.chdir(tmp_path)
    pickled = pickle.dumps(Detector("model.lbw", engine="reference"))
    assert len(pickled) < 1000  # the file's name, not its content
    monkeypatch.chdir("/")
    assert len(pickle.loads(pickled)(IMAGE)) > 5


@pytest.mark.skipif(native_library.library_path() is None, reason="no native engine")
def test_a_run_is_cancelled_from_another_thread():
    detector, errors = Detector(tiny_artifact(), threads=1), []

    def run():
        try:
            while True:  # whenever it is cancelled, a run ends by it
                detector(IMAGE)
        except NativeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive():
        detector.cancel()
        thread.join(0.001)
    assert errors == ["cancelled"]
    assert len(detector(IMAGE)) > 0


def test_the_reference_has_nothing_to_cancel(detector):
    detector.cancel()
    assert len(detector(IMAGE)) > 0
