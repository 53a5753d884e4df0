import torch

from lbwdet.bit_plan.image_inputs import detect, read_input
from lbwdet.measuring.detectors import build_detector
from lbwdet.testing import tiny_config, write_tiny_voc


def test_an_image_as_the_test_pipeline_gives_it_can_be_passed_twice(tmp_path):
    root = write_tiny_voc(tmp_path / "data", num_trainval=1, num_test=1)
    cfg = tiny_config(root, tmp_path / "run", model="retinanet_r50_fpn")
    torch.manual_seed(0)
    model = build_detector(cfg)
    data = read_input(cfg, next((root / "VOC2007" / "JPEGImages").glob("*.jpg")))
    assert data["inputs"].dtype == torch.uint8
    with torch.no_grad():
        first, second = (detect(model, data)[0].pred_instances for _ in range(2))
    assert torch.equal(first.bboxes, second.bboxes)
    assert "pred_instances" not in data["data_samples"]  # what was given is not written to
