"""The compact detectors of the photographs: one step of training, float and low-bit."""

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn

from lbwdet.configs import OWN_CONFIGS, load_config
from lbwdet.layers import input_quantizers, quantized_layers
from lbwdet.layers.calibration import calibration
from lbwdet.training.build import build_model

FAMILIES = ("yolox_nano_voc-sample", "frcnn_lite0_voc-sample", "frcnn_lite0_voc")


def batch() -> dict:
    """Two images of noise with two objects each."""
    generator = np.random.default_rng(0)
    images, samples = [], []
    for _ in range(2):
        images.append(torch.from_numpy(generator.integers(0, 256, (3, 128, 128), dtype=np.uint8)))
        meta = dict(img_shape=(128, 128), ori_shape=(128, 128), scale_factor=(1.0, 1.0))
        sample = DetDataSample(metainfo=dict(meta, batch_input_shape=(128, 128)))
        boxes = torch.tensor([[10.0, 10, 70, 60], [50, 40, 120, 126]])
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([0, 1]))
        sample.ignored_instances = InstanceData(bboxes=boxes[:0], labels=torch.tensor([]).long())
        samples.append(sample)
    return dict(inputs=images, data_samples=samples)


def losses(model: nn.Module) -> torch.Tensor:
    data = model.data_preprocessor(batch(), True)
    total, _ = model.parse_losses(model(**data, mode="loss"))
    return total


@pytest.mark.parametrize("variant", ["fp32", "4bit", "w4a8"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_of_training_moves_every_part(family, variant):
    cfg = load_config(OWN_CONFIGS / f"lbw_{family}_{variant}.py")
    model = build_model(cfg).train()
    assert bool(quantized_layers(model)) == (variant != "fp32")
    assert bool(input_quantizers(model)) == (variant == "w4a8")
    if variant == "w4a8":
        with torch.no_grad(), calibration(model):
            losses(model)
    parts = ("backbone", "neck", "bbox_head" if "yolox" in family else "roi_head")
    before = {part: weights(model, part) for part in parts}
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    loss = losses(model)
    loss.backward()
    optimizer.step()
    assert torch.isfinite(loss) and loss > 0
    for part in parts:
        assert torch.isfinite(weights(model, part)).all()
        assert (weights(model, part) != before[part]).any()


def weights(model: nn.Module, part: str) -> torch.Tensor:
    found = [p.detach().flatten() for n, p in model.named_parameters() if n.startswith(f"{part}.")]
    return torch.cat(found).clone()
