"""Small random images with boxes, masks, texts and tracks: a superset of what detectors ask for."""

from typing import Any

import numpy as np
import torch
from mmdet.models.detectors import SemiBaseDetector
from mmdet.models.mot import BaseMOTModel
from mmdet.structures import DetDataSample, TrackDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData, PixelData
from torch import nn

# x1, y1, x2, y2 as shares of the image's side: large, small, tall and wide.
_BOXES = (
    (0.1, 0.1, 0.6, 0.55),
    (0.5, 0.3, 0.9, 0.95),
    (0.05, 0.6, 0.3, 0.9),
    (0.7, 0.05, 0.9, 0.2),
)
_NUM_CLASSES = 2  # labels 0 and 1 exist for all but detectors of a single class
_FRAMES = 2


def make_batch(model: nn.Module, training: bool, size: int = 128) -> dict[str, Any]:
    """What a data loader would hand to the data preprocessor of ``model``.

    Args:
        model: a detector, a tracker or a semi-supervised detector.
        training: whether for ``mode='loss'`` (two images) or ``'predict'`` (one image).
        size: side of the images in pixels.

    Returns:
        ``dict(inputs=..., data_samples=...)``.
    """
    plain = training and getattr(model.data_preprocessor, "use_det_processor", False)
    if isinstance(model, BaseMOTModel) and not plain:
        return _video(model, size)
    images = [
        torch.randint(0, 256, (3, size, size), dtype=torch.uint8) for _ in range(1 + training)
    ]
    if isinstance(model, SemiBaseDetector) and training:
        branches = ("sup", "unsup_teacher", "unsup_student")
        return dict(
            inputs={branch: list(images) for branch in branches},
            data_samples={branch: _samples(model, len(images), size) for branch in branches},
        )
    return dict(inputs=images, data_samples=_samples(model, len(images), size))


def _video(model: nn.Module, size: int) -> dict[str, Any]:
    frames = torch.randint(0, 256, (_FRAMES, 3, size, size), dtype=torch.uint8)
    samples = _samples(model, _FRAMES, size)
    for index, sample in enumerate(samples):
        sample.set_metainfo(dict(frame_id=index, is_video_data=True, video_length=_FRAMES))
    track = TrackDataSample(metainfo=dict(key_frames_inds=[0], ref_frames_inds=[1]))
    track.video_data_samples = samples
    return dict(inputs=[frames], data_samples=[track])


def _samples(model: nn.Module, count: int, size: int) -> list[DetDataSample]:
    return [_sample(model, index, size) for index in range(count)]


def _sample(model: nn.Module, index: int, size: int) -> DetDataSample:
    sample = DetDataSample(
        metainfo=dict(
            img_id=index,
            img_path="random.png",
            img_shape=(size, size),
            ori_shape=(size, size),
            scale_factor=(1.0, 1.0),
            flip=False,
            flip_direction=None,
            border=np.array([0, size, 0, size]),  # CenterNet and CornerNet: where the image lies
            homography_matrix=np.eye(3, dtype=np.float32),  # semi-supervised detectors
            text="disc. cross.",  # detectors with a language model
            custom_entities=True,
        )
    )
    boxes = size * torch.tensor(_BOXES)
    labels = torch.arange(len(_BOXES)) % min(_NUM_CLASSES, _num_classes(model))
    masks = np.zeros((len(_BOXES), size, size), np.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
        mask[top:bottom, left:right] = 1
    sample.gt_instances = InstanceData(
        bboxes=boxes,
        labels=labels,
        instances_ids=torch.arange(len(_BOXES)),
    )
    sample.ignored_instances = InstanceData(bboxes=boxes.new_zeros(0, 4), labels=labels[:0])
    if _has_part(model, "mask"):  # where there are masks, RTMDet takes centres of mass from them
        sample.gt_instances.masks = BitmapMasks(masks, size, size)
        sample.ignored_instances.masks = BitmapMasks(masks[:0], size, size)
    if not _has_part(model, "rpn_head"):  # given some, MMDetection would skip the model's own
        sample.proposals = InstanceData(bboxes=boxes + 2, scores=torch.ones(len(_BOXES)))
    coarse = size // _semantic_stride(model)
    sample.gt_sem_seg = PixelData(
        sem_seg=torch.arange(coarse * coarse).reshape(1, coarse, coarse) % 2
    )
    return sample


def _has_part(model: nn.Module, word: str) -> bool:
    return any(word in name for name, _ in model.named_modules())


def _num_classes(model: nn.Module) -> int:
    """The fewest classes that one of the model's heads knows."""
    known = [getattr(part, "num_classes", None) for part in model.modules()]
    return min((number for number in known if isinstance(number, int)), default=1)


def _semantic_stride(model: nn.Module) -> int:
    """HTC and SCNet want semantic maps at an eighth of the size, others at the full size."""
    roi_head = getattr(model, "roi_head", None)
    return 8 if getattr(roi_head, "with_semantic", False) else 1
