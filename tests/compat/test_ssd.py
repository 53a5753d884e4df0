import numpy as np

from lbwdet.configs import load_config
from lbwdet.measuring.candidates import ArrayDetector
from lbwdet.training.build import build_model

CONFIG = "mmdet::ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py"


def test_ssd_predicts():
    """MMDetection 3.3 alone ends here: 'SSDHead' object has no attribute 'loss_cls'."""
    cfg = load_config(CONFIG)
    model = build_model(cfg).eval()
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    found = ArrayDetector(cfg, model).detect(image)
    assert found.boxes.shape == (len(found.scores), 4)
    assert model.bbox_head.loss_cls is None
