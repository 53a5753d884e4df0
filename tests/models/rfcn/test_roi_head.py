import copy

import pytest
import torch
from mmdet.models.test_time_augs import DetTTAModel
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from lbwdet.errors import ConfigError
from lbwdet.layers import quantized_layers

QUANT = dict(weight=dict(bit_width=4, code="dense"))
LOW_BIT = {f"model.{part}.quant": QUANT for part in ("backbone", "rpn_head", "roi_head.bbox_head")}

LOSSES = {"loss_rpn_cls", "loss_rpn_bbox", "loss_cls", "loss_bbox"}


def losses_of(model, batch):
    data = model.data_preprocessor(copy.deepcopy(batch), training=True)
    return model(**data, mode="loss")


def total(losses):
    parts = [losses[key] for key in LOSSES]
    return sum(sum(part) if isinstance(part, list) else part for part in parts)


@pytest.mark.parametrize("low_bit", [False, True], ids=["float", "4bit"])
def test_a_step_reaches_every_weight(detector, batch, low_bit):
    # Else the residual branches begin at zero, and so do the gradients within.
    changes = {"model.backbone.zero_init_residual": False, **(LOW_BIT if low_bit else {})}
    model = detector(**changes).train()
    assert bool(quantized_layers(model)) == low_bit
    losses = losses_of(model, batch)
    assert losses.keys() >= LOSSES and torch.isfinite(total(losses))
    total(losses).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_the_score_maps_are_made_once_a_batch(detector, batch):
    model = detector().train()
    calls = []
    model.roi_head.bbox_head.reduce.register_forward_hook(lambda *_: calls.append(1))
    losses_of(model, batch)
    assert len(calls) == 1  # although hard example mining judges every proposal first


def test_hard_examples_are_those_of_greatest_loss(detector, batch):
    sampler = {f"model.train_cfg.rcnn.sampler.{key}": v for key, v in dict(num=4).items()}
    head = detector(**sampler).train().roi_head
    maps = [torch.randn(1, 27, 8, 12), torch.randn(1, 36, 8, 12)]
    truth = InstanceData(bboxes=torch.tensor([[8.0, 8, 40, 40]]), labels=torch.tensor([1]))
    corners = 8.0 * torch.arange(6)
    proposals = InstanceData(
        priors=torch.stack([corners + 40, corners, corners + 56, corners + 16], 1)
    )
    assigned = head.bbox_assigner.assign(proposals, truth)
    result = head.bbox_sampler.sample(assigned, proposals, truth, feats=maps)
    with torch.no_grad():
        rois = torch.cat([torch.zeros(6, 1), proposals.priors], 1)
        background = head._bbox_forward(maps, rois)["cls_score"].log_softmax(1)[:, 2]
    # One place goes to the object itself, the other three to the least certain background.
    assert result.pos_is_gt.tolist() == [1]
    expected = proposals.priors[background.argsort()[:3]]
    assert sorted(result.neg_priors.tolist()) == sorted(expected.tolist())


def test_regions_of_one_image_do_not_see_the_other(detector, batch):
    model = detector(**{"model.test_cfg.rcnn.score_thr": 0.0}).eval()
    wide, tall = model.test_step(copy.deepcopy(batch))
    for found, (height, width) in ((wide, (64, 96)), (tall, (80, 64))):
        boxes = found.pred_instances.bboxes
        assert len(boxes) and (boxes >= 0).all()
        assert (boxes[:, 0::2] <= width).all() and (boxes[:, 1::2] <= height).all()
    other = copy.deepcopy(batch)
    other["inputs"][1] = other["inputs"][1].flip(1)
    again, changed = model.test_step(other)
    assert torch.equal(again.pred_instances.bboxes, wide.pred_instances.bboxes)
    assert not torch.equal(changed.pred_instances.scores, tall.pred_instances.scores)


def test_without_proposals_there_is_nothing_and_no_error(detector, batch):
    model = detector().eval()
    x = model.extract_feat(torch.randn(2, 3, 64, 96))
    nothing = [InstanceData(bboxes=torch.zeros(0, 4), scores=torch.zeros(0)) for _ in range(2)]
    some = InstanceData(bboxes=torch.tensor([[4.0, 4, 40, 40]]), scores=torch.ones(1))
    for proposals in (nothing, [nothing[0], some]):
        found = model.roi_head.predict(x, proposals, batch["data_samples"])
        assert len(found) == 2 and len(found[0]) == 0
    model.train()
    for sample in batch["data_samples"]:
        sample.gt_instances = sample.gt_instances[:0]
    nothing = [
        InstanceData(bboxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0).long())
        for _ in range(2)
    ]
    losses = model.roi_head.loss(x, nothing, batch["data_samples"])
    assert all(torch.isfinite(value).all() for value in losses.values())


def test_images_without_objects_train(detector, batch):
    for sample in batch["data_samples"]:
        sample.gt_instances = sample.gt_instances[:0]
    assert torch.isfinite(total(losses_of(detector().train(), batch)))


def test_bfloat16_autocast(detector, batch):
    model = detector(**LOW_BIT).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = total(losses_of(model, batch))
    loss.backward()
    gradients = [p.grad for p in model.parameters()]
    assert torch.isfinite(loss) and all(torch.isfinite(g).all() for g in gradients)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        model.eval().test_step(batch)


def test_flipped_views_are_merged(detector, batch):
    views = ConfigDict(nms=dict(type="nms", iou_threshold=0.5), max_per_img=10)
    model = DetTTAModel(tta_cfg=views, module=detector(**{"model.test_cfg.rcnn.score_thr": 0.0}))
    plain, flipped = batch["data_samples"][0], copy.deepcopy(batch["data_samples"][0])
    plain.set_metainfo(dict(flip=False, flip_direction=None))
    flipped.set_metainfo(dict(flip=True, flip_direction="horizontal"))
    image = batch["inputs"][0]
    data = dict(inputs=[[image], [image.flip(2)]], data_samples=[[plain], [flipped]])
    with torch.no_grad():
        found = model.eval().test_step(data)[0].pred_instances
    assert 0 < len(found) <= 10


def test_raw_outputs(detector, batch):
    head = detector().eval().roi_head
    x = torch.randn(1, 64, 8, 8), torch.randn(1, 64, 8, 8)
    proposals = [InstanceData(bboxes=torch.tensor([[4.0, 4, 40, 40]] * 5))]
    classes, boxes = head(x, proposals, batch["data_samples"][:1])
    assert classes.shape == (5, 3) and boxes.shape == (5, 4)


def test_grids_that_differ_are_refused(detector):
    with pytest.raises(ConfigError, match="grid_size=5, bbox_head has grid_size=3"):
        detector(**{"model.roi_head.bbox_roi_extractor.grid_size": 5})
