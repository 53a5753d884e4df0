"""TOOD: features of all layers for classes and for boxes, whose sides are read elsewhere."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from mmdet.models.dense_heads import TOODHead
from torch import Tensor
from torch.nn import functional as F

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.one_stage import BoxMaps, OneStage
from lbwdet.deploy.lower.settings import Priors, TestConfig, read_anchors, read_coder
from lbwdet.deploy.runtime.coders import Coder, DistanceCoder, TwiceCoder
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.sampled_boxes import SampledBoxes
from lbwdet.errors import ConfigError


@head("TOODHead", ("TOOD", "SingleStageDetector"))
class TOOD(OneStage):
    """Scores of all levels, of each level deltas and offsets to where sides are read, factors.

    The geometric mean of a class's score and the factor counts.
    """

    base = TOODHead
    methods = (*OneStage.methods, "forward", "deform_sampling", "anchor_center")

    def __init__(self, model: Any) -> None:
        box_head = model.bbox_head
        self._anchors = read_anchors("bbox_head.anchor_generator", box_head.prior_generator)
        if any(len(boxes) != 1 for boxes in self._anchors.boxes):
            counts = [len(boxes) for boxes in self._anchors.boxes]
            raise ConfigError(
                f"bbox_head.anchor_generator: {counts} anchors of a pixel cannot be lowered; give "
                "1 for each level"
            )
        if box_head.norm_cfg is None:  # MMDetection then leaves out a bias that the layer has
            raise ConfigError("bbox_head.norm_cfg=None cannot be lowered; give a norm")
        self._free = box_head.anchor_type == "anchor_free"
        coder, priors = self._box_coder(box_head), self._box_priors(box_head)
        self._aligned = [
            SampledBoxes("", "", "", coder, stride, prior)
            for stride, (prior,) in zip(priors.strides, priors.boxes, strict=True)
        ]
        super().__init__(model)

    def _box_priors(self, head: Any) -> Priors:
        """What deltas are of: anchors, or boxes as large as the unit of distances."""
        if not self._free:
            return self._anchors
        pairs = zip(head.scales, self._anchors.strides, strict=True)
        return self._anchors.with_sides([scale.scale.item() * stride for scale, stride in pairs])

    def _box_coder(self, head: Any) -> Coder:
        if self._free:
            return DistanceCoder(clip=False, exponential=True, of_prior=True)
        coder = read_coder("bbox_head.bbox_coder", head.bbox_coder)
        assert not isinstance(coder, TwiceCoder)  # nothing that a config names is read as one
        return replace(coder, clip=False)  # MMDetection decodes them without the image's size

    def priors(self, head: Any) -> Priors:
        return self._anchors.with_sides([0.0] * len(self._anchors.strides))

    def coder(self, head: Any) -> DistanceCoder:
        return DistanceCoder(clip=False)

    def candidates(self, head: Any, config: TestConfig) -> Candidates:
        return replace(super().candidates(head, config), factor_first=True, root=True)

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        head = model.bbox_head
        scores, boxes, factors = [], [], []
        for features, scale in zip(model.extract_feat(image), head.scales, strict=True):
            layers = []
            for layer in head.inter_convs:
                features = layer(features)
                layers.append(features)
            every = torch.cat(layers, 1)
            mean = F.adaptive_avg_pool2d(every, 1)
            scores.append(head.tood_cls(_decomposed(head.cls_decomp, layers, mean)))
            deltas = head.tood_reg(_decomposed(head.reg_decomp, layers, mean))
            boxes += [deltas if head.anchor_type == "anchor_free" else scale(deltas)]
            boxes += [head.reg_offset_module(every)]
            factors.append(head.cls_prob_module(every))
        return (*scores, *boxes, *factors)

    def box_maps(self, program: Building, maps: Sequence[str]) -> BoxMaps:
        count, boxes = len(self._aligned), []
        for level, aligned in enumerate(self._aligned):
            deltas, offsets = maps[count + 2 * level : count + 2 * level + 2]
            boxes.append(f"boxes.{level}")
            program.add(replace(aligned, deltas=deltas, offsets=offsets, output=boxes[-1]))
        return BoxMaps(tuple(maps[:count]), tuple(boxes), tuple(maps[3 * count :]))


def _decomposed(part: Any, layers: Sequence[Tensor], mean: Tensor) -> Tensor:
    """As ``TaskDecomposition.forward``, which multiplies the weight instead of what it meets."""
    gates = part.layer_attention(mean)
    scaled = [layer * gates[:, at : at + 1] for at, layer in enumerate(layers)]
    found: Tensor = part.reduction_conv(torch.cat(scaled, 1))
    return found
