import logging

import pytest
from mmdet.models.detectors import PanopticFPN

from lbwdet.deploy.export import export_detector
from lbwdet.errors import DataError

CLASSES = ("red", "green")


def test_an_artifact_that_explains_itself(tiny, monkeypatch):
    said = []
    monkeypatch.setattr(
        "lbwdet.deploy.export.print_log", lambda text, level, **_: said.append((level, text))
    )
    steps = []
    artifact = export_detector(
        tiny.model,
        tiny.pipeline,
        CLASSES,
        [("noise", tiny.image)],
        info=dict(source="a test"),
        on_image=lambda: steps.append(1),
    )
    assert artifact.classes == CLASSES and steps == [1]
    assert artifact.info["source"] == "a test"
    quantization = artifact.info["quantization"]
    assert quantization["uniform_layers"] == ["roi_head.bbox_head.fc_cls"]
    assert quantization["trained"]["backbone.conv1"] == "4bit paper exact tensor"
    assert quantization["trained_activations"] == []
    # 6 bits of the paper's code are 16 magnitudes, of which integers hold seven
    dropped = quantization["weights_below_window"]
    assert dropped and all(name.startswith("neck.") for name in dropped)
    ((level, text),) = said
    assert level == logging.INFO and "1 of 35 layers are float in training" in text


def test_of_more_than_a_detector_it_is_said_what_is_exported(tiny, monkeypatch):
    said = []
    monkeypatch.setattr("lbwdet.deploy.export.print_log", lambda text, **_: said.append(text))
    monkeypatch.setattr(tiny.model, "__class__", PanopticFPN)
    with pytest.raises(DataError, match="no images"):
        export_detector(tiny.model, tiny.pipeline, CLASSES, [])
    (text,) = said
    assert text.startswith("of PanopticFPN, what finds instances in a single image is exported")


def test_without_images(tiny):
    with pytest.raises(DataError, match="no images"):
        export_detector(tiny.model, tiny.pipeline, CLASSES, [])
