import logging

import pytest

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


def test_without_images(tiny):
    with pytest.raises(DataError, match="no images"):
        export_detector(tiny.model, tiny.pipeline, CLASSES, [])
