"""How far a detector's outputs are from those of its float version, where that sees objects."""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models import BBoxHead, RPNHead, StandardRoIHead
from torch import Tensor, nn
from torch.nn import functional as F

from lbwdet.errors import ConfigError

_BOXES, _HUBER = 5.0, 0.5
_REGIONS = 100  # of the float detector's proposals per image

Outputs = Sequence[Sequence[Tensor]]


def teacher_losses(
    model: nn.Module, floating: nn.Module, inputs: Tensor, samples: Any
) -> dict[str, Tensor]:
    """The losses that lead a detector to its float version.

    Args:
        model: the detector that is trained.
        floating: the float one, in eval mode.
        inputs: preprocessed images [N, 3, H, W].
        samples: their annotations, of which only the sizes of images are used.

    Raises:
        ConfigError: the detector has another head than those this is for.
    """
    if getattr(model, "roi_head", None) is not None:
        return _two_stages(model, floating, inputs, samples)
    with torch.no_grad():
        goal = floating(inputs, mode="tensor")
    return dict(loss_teacher=output_distance(model(inputs, mode="tensor"), goal))


def output_distance(outputs: Outputs, goal: Outputs) -> Tensor:
    """Of a dense head that gives objectness.

    With objectness ``o``, classes ``c`` and boxes ``b`` at each position, those of the goal
    with a dash, and ``w = sigmoid o'``:

        sum KL(sigmoid o' | sigmoid o) + w KL(sigmoid c' | sigmoid c) + 5 w huber(b - b'),

    divided by ``sum w``, which is about the number of positions with an object. 0 at the
    goal.

    Args:
        outputs, goal: lists of maps [N, C, H, W], one per scale: classes, boxes, objectness.

    Raises:
        ConfigError: they are no such three lists.
    """
    if len(outputs) != 3 or any(isinstance(maps, Tensor) for maps in outputs):
        raise _refused("this detector's head gives something else")
    (classes, boxes, objects), (of_classes, of_boxes, of_objects) = (
        map(_flat, outputs),
        map(_flat, goal),
    )
    seen = of_objects.sigmoid()
    total = _divergence(objects, of_objects).sum()
    total = total + (seen * _divergence(classes, of_classes)).sum()
    box = F.huber_loss(boxes, of_boxes, reduction="none", delta=_HUBER)
    return (total + _BOXES * (seen * box).sum()) / seen.sum().clamp(min=1.0)


def _two_stages(model: Any, floating: Any, inputs: Tensor, samples: Any) -> dict[str, Tensor]:
    """Of proposals, of regions, and of the maps that both read.

    Both detectors see the regions that the float one proposes.
    """
    _check_two_stages(model)
    with torch.no_grad():
        of_maps = floating.extract_feat(inputs)
        of_rpn = floating.rpn_head(of_maps)
        metas = [sample.metainfo for sample in samples]
        proposals = floating.rpn_head.predict_by_feat(*of_rpn, batch_img_metas=metas)
        regions = [each[:_REGIONS] for each in proposals]
        of_found = floating.roi_head(of_maps, regions, samples)
    maps = model.extract_feat(inputs)
    return dict(
        loss_teacher_maps=map_distance(maps, of_maps),
        loss_teacher_rpn=proposal_distance(model.rpn_head(maps), of_rpn),
        loss_teacher_regions=region_distance(model.roi_head(maps, regions, samples), of_found),
    )


def _check_two_stages(model: Any) -> None:
    """Raises ConfigError if some part of the detector would be led nowhere, or astray."""
    roi_head, rpn_head = model.roi_head, model.rpn_head
    if not isinstance(roi_head, StandardRoIHead):
        raise _refused(f"roi_head is {type(roi_head).__name__}, not StandardRoIHead")
    if roi_head.with_mask:
        raise _refused("roi_head has masks, which no teacher leads")
    if not isinstance(rpn_head, RPNHead) or not rpn_head.use_sigmoid_cls:
        raise _refused(f"rpn_head is {type(rpn_head).__name__}, not RPNHead with sigmoid scores")
    head = roi_head.bbox_head
    plain = isinstance(head, BBoxHead) and head.with_cls and head.with_reg
    if not plain or head.custom_cls_channels:
        raise _refused(
            f"roi_head.bbox_head is {type(head).__name__}, not a BBoxHead with boxes and a "
            "softmax over classes and background"
        )


def _refused(reason: str) -> ConfigError:
    return ConfigError(
        f"TeacherHook: {reason}; it is for detectors of two stages without masks (Faster R-CNN), "
        "and for heads that give classes, boxes and objectness (YOLOX); train with labels, "
        "without the hook"
    )


def map_distance(maps: Sequence[Tensor], goal: Sequence[Tensor]) -> Tensor:
    """``|m - m'|^2 / |m'|^2``, the mean over the maps.

    Raises:
        ConfigError: they differ in shape, as where training has branches of its own (TridentNet).
    """
    shapes, wanted = ([tuple(each.shape) for each in some] for some in (maps, goal))
    if shapes != wanted:
        raise _refused(f"the float detector has maps of {wanted}, the trained one of {shapes}")
    each = [
        F.mse_loss(found.float(), of.float()) / of.float().square().mean().clamp(min=1e-12)
        for found, of in zip(maps, goal, strict=True)
    ]
    return torch.stack(each).mean()


def proposal_distance(outputs: Outputs, goal: Outputs) -> Tensor:
    """Of objectness ``o`` and boxes ``b`` of anchors, which have no classes.

    As :func:`output_distance` has them, but for the factor of boxes, which is 1 here:
    ``sum KL(sigmoid o' | sigmoid o) + w huber(b - b')``, divided by ``sum w``.

    Args:
        outputs, goal: lists of maps, one per scale: objectness [N, A, H, W], boxes [N, 4A, H, W].
    """
    objects, of_objects = _flat(outputs[0]), _flat(goal[0])
    seen = of_objects.sigmoid()
    total = _divergence(objects, of_objects).sum()
    for boxes, of_boxes, of in zip(outputs[1], goal[1], goal[0], strict=True):
        box = F.huber_loss(boxes, of_boxes, reduction="none", delta=_HUBER)
        total = total + (of.sigmoid().repeat_interleave(4, 1) * box).sum()
    return total / seen.sum().clamp(min=1.0)


def region_distance(outputs: Sequence[Tensor], goal: Sequence[Tensor]) -> Tensor:
    """``KL(softmax c' | softmax c) + sum over classes p' huber(b - b')``, the mean over regions.

    0 where there is no region.

    Args:
        outputs, goal: logits [R, C + 1], the background's last, and boxes [R, 4C] or [R, 4].
    """
    (scores, boxes), (of_scores, of_boxes) = outputs, goal
    share = of_scores.softmax(1)
    divergence = F.kl_div(scores.log_softmax(1), share, reduction="sum")
    box = F.huber_loss(boxes, of_boxes, reduction="none", delta=_HUBER)
    seen = share[:, :-1] if boxes.shape[1] > 4 else 1 - share[:, -1:]
    total = divergence + (seen.repeat_interleave(4, 1) * box).sum()
    return total / max(len(share), 1)


def _flat(maps: Sequence[Tensor]) -> Tensor:
    """[N, C, positions of all scales]."""
    return torch.cat([each.flatten(2) for each in maps], 2)


def _divergence(logits: Tensor, of_logits: Tensor) -> Tensor:
    """Of two coins: cross-entropy without the entropy of the goal."""
    share = of_logits.sigmoid()
    cross = F.binary_cross_entropy_with_logits
    return cross(logits, share, reduction="none") - cross(of_logits, share, reduction="none")
