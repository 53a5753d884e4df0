import copy

import pytest
import torch
from mmdet.models.losses import SeesawLoss
from mmdet.models.roi_heads import BaseRoIHead
from mmdet.structures import DetDataSample

from lbwdet.configs import OWN_CONFIGS, load_config
from lbwdet.errors import ConfigError
from lbwdet.layers import quantize_
from lbwdet.training.build import build_model
from lbwdet.training.teacher_distances import (
    map_distance,
    output_distance,
    proposal_distance,
    region_distance,
    teacher_losses,
)
from lbwdet.training.teacher_hook import float_copy


def maps(*channels):
    return [torch.randn(2, c, n, n) for c in channels for n in (4, 2)]


def outputs():
    torch.manual_seed(0)
    return maps(3), maps(4), maps(1)


def test_the_distance_is_zero_at_the_goal_alone():
    goal = outputs()
    assert output_distance(goal, goal) == 0
    for part in range(3):
        other = copy.deepcopy(goal)
        other[part][1].add_(0.1)
        assert output_distance(other, goal) > 0


def test_the_gradient_leads_to_the_goal():
    goal = outputs()
    found = copy.deepcopy(goal)
    found[2][0].add_(1.0).requires_grad_(True)
    output_distance(found, goal).backward()
    assert (found[2][0].grad > 0).all()


def test_classes_and_boxes_count_where_the_goal_sees_objects():
    goal = outputs()
    goal[2][0].fill_(-20.0)  # nothing there
    found = copy.deepcopy(goal)
    found[0][0].add_(1.0), found[1][0].add_(1.0)
    assert output_distance(found, goal) < 1e-4
    found[0][1].add_(1.0)
    assert output_distance(found, goal) > 1e-2


def test_another_head_is_refused():
    with pytest.raises(ConfigError, match="classes, boxes and objectness"):
        output_distance((maps(3), maps(4)), (maps(3), maps(4)))


def test_maps_count_in_their_own_size():
    goal = [torch.randn(2, 3, 4, 4), 100 * torch.randn(2, 3, 2, 2)]
    assert map_distance(goal, goal) == 0
    found = [1.1 * each for each in goal]
    assert map_distance(found, goal) == pytest.approx(0.01, rel=1e-4)


def test_boxes_of_anchors_count_where_an_object_is_seen():
    torch.manual_seed(0)
    goal = maps(3), maps(12)
    assert proposal_distance(goal, goal) == 0
    goal[0][0][:, 0], goal[0][0][:, 1] = -30.0, 30.0  # no object and one, everywhere
    found = copy.deepcopy(goal)
    found[1][0][:, :4] += 1.0  # of the first anchor
    assert proposal_distance(found, goal) < 1e-6
    found[1][0][:, 4:8] += 1.0
    assert proposal_distance(found, goal) > 0.1


@pytest.mark.parametrize("classes", [1, 3], ids=["agnostic", "each class its box"])
def test_boxes_of_regions_count_for_the_class_that_is_seen(classes):
    torch.manual_seed(0)
    scores = torch.full((5, 4), -20.0)
    scores[:4, 1] = 20.0
    scores[4, 3] = 20.0  # background
    boxes = torch.randn(5, 4 * classes)
    assert region_distance((scores, boxes), (scores, boxes)) < 1e-6
    found = boxes.clone()
    found[4] += 1.0
    if classes > 1:
        found[:, :4] += 1.0
    assert region_distance((scores, found), (scores, boxes)) < 1e-6
    found[:4, -8:-4] += 1.0 if classes > 1 else 0.0
    found[:4, :4] += 1.0 if classes == 1 else 0.0
    assert region_distance((scores, found), (scores, boxes)) > 0.1


def test_without_a_region_the_distance_is_zero():
    scores, boxes = torch.zeros(0, 4, requires_grad=True), torch.zeros(0, 12)
    found = region_distance((scores, boxes), (scores, boxes))
    found.backward()
    assert found == 0 and scores.grad is not None


def test_maps_of_other_shapes_are_refused():
    """As of branches that are there in training alone; one image would be spread over them."""
    with pytest.raises(ConfigError, match=r"maps of \[\(1, 3, 4, 4\)\], the trained one of"):
        map_distance([torch.zeros(3, 3, 4, 4)], [torch.zeros(1, 3, 4, 4)])


def two_stages(config="lbw_frcnn_toy_fp32.py", changes=None):
    return build_model(load_config(OWN_CONFIGS / config, changes or {})).eval()


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        ("lbw_mask_rcnn_toy_fp32.py", {}, "roi_head has masks, which no teacher leads"),
        (
            "lbw_frcnn_toy_fp32.py",
            {"model.rpn_head.loss_cls.use_sigmoid": False},
            "rpn_head is LBWRPNHead, not RPNHead with sigmoid scores",
        ),
    ],
)
def test_a_part_that_is_led_nowhere_is_refused(config, changes, message):
    model = two_stages(config, changes)
    with pytest.raises(ConfigError, match=f"TeacherHook: {message}"):
        teacher_losses(model, float_copy(model), torch.zeros(1, 3, 64, 64), [])


def test_other_heads_of_regions_are_refused():
    model = two_stages()
    model.roi_head.bbox_head.loss_cls = SeesawLoss(num_classes=3)
    with pytest.raises(ConfigError, match="LBWShared2FCBBoxHead, not a BBoxHead with boxes and"):
        teacher_losses(model, model, torch.zeros(1, 3, 64, 64), [])
    model.roi_head.__class__ = BaseRoIHead
    with pytest.raises(ConfigError, match="roi_head is BaseRoIHead, not StandardRoIHead"):
        teacher_losses(model, model, torch.zeros(1, 3, 64, 64), [])


@pytest.mark.parametrize("config", ["lbw_frcnn_toy_fp32.py", "lbw_rfcn_toy_fp32.py"])
def test_a_detector_of_two_stages_sees_the_regions_of_its_float_version(config):
    torch.manual_seed(0)
    model = two_stages(config)
    floating = float_copy(model)
    images = torch.randn(2, 3, 64, 96)
    samples = [DetDataSample(metainfo=dict(img_shape=(64, 96))) for _ in images]
    names = {"loss_teacher_maps", "loss_teacher_rpn", "loss_teacher_regions"}
    same = teacher_losses(model, floating, images, samples)
    assert set(same) == names and max(same.values()) < 1e-6
    quantize_(model, dict(bit_width=2))
    other = teacher_losses(model, floating, images, samples)
    assert min(other.values()) > 1e-6
    sum(other.values()).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert all(p.grad is None for p in floating.parameters())
