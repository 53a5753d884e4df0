import json

import pytest

from lbwdet.demos.drawing import summary
from lbwdet.demos.image_demo import artifact_demo
from lbwdet.errors import LBWError


def test_images(artifact, voc_root, tmp_path):
    images = voc_root / "VOC2007" / "JPEGImages"
    result = artifact_demo(images, artifact, tmp_path, score_thr=0.05, engine="reference")
    assert result == json.loads((tmp_path / "detections.json").read_text())
    found = sum(map(len, result["images"].values()))
    assert found and summary(result).startswith(f"{found} objects in 3 images, ")
    assert summary(result).endswith(" per second, engine reference")


def test_what_cannot_detect(voc_root, tmp_path):
    with pytest.raises(LBWError, match=r"missing\.lbw"):
        artifact_demo(voc_root, tmp_path / "missing.lbw", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
