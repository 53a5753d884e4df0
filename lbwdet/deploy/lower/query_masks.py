"""Queries that find a class and a mask each, and attend to what they have found (Mask2Former).

MMDetection computes masks in the size of the features and makes them smaller for attention; here
the features are made smaller, once for all queries and layers. Both are the same sums over channels
and pixels, in another order.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from mmdet.models.seg_heads import MaskFormerFusionHead
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.grid_masks import CANDIDATES, above
from lbwdet.deploy.lower.head import Head
from lbwdet.deploy.lower.kernel_masks import MASKS, KernelMasks
from lbwdet.deploy.lower.settings import TestConfig, check_type
from lbwdet.deploy.runtime.coders import DistanceCoder
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.deploy.runtime.operations.dynamic_masks import DynamicMasks
from lbwdet.deploy.runtime.operations.picked import Picked
from lbwdet.errors import ConfigError


@torch.library.custom_op("lbwdet::query_masks", mutates_args=())
def query_masks(kernels: Tensor, features: Tensor) -> Tensor:
    """Logits [1, q, h, w], as the operation ``QueryMasks`` has them; kernels: [1, c, 1, q]."""
    return torch.einsum("ncq,nchw->nqhw", kernels.flatten(2), features)


@query_masks.register_fake
def _(kernels: Tensor, features: Tensor) -> Tensor:
    return features.new_empty(1, kernels.shape[2] * kernels.shape[3], *features.shape[2:])


@torch.library.custom_op("lbwdet::unseen", mutates_args=())
def unseen(masks: Tensor) -> Tensor:
    """Of masks [1, q, h, w], bool [q, h * w]: what queries do not see, as ``Attention`` has it."""
    hidden = masks[0].flatten(1) < 0
    return hidden & ~hidden.all(1, keepdim=True)


@unseen.register_fake
def _(masks: Tensor) -> Tensor:
    _, queries, height, width = masks.shape
    return masks.new_empty(queries, height * width, dtype=torch.bool)


class QueryMaskHead(Head):
    """``dense`` returns logits of classes, background last, kernels, and the features they meet.

    The best pairs (query, class) are found by class alone; boxes are those around masks.
    """

    def read(
        self, preprocessor: Any, classes: int, things: int, most: int, stride: int, scored: bool
    ) -> None:
        """What is done with queries.

        Args:
            preprocessor: of the images.
            classes: that queries can have.
            things: number of those that are objects, the first ones.
            most: pairs that are looked at.
            stride: of the features, in pixels of the network's input.
            scored: whether scores are multiplied by how sure the mask is.

        Raises:
            ConfigError: images are padded so that features end inside of a pixel.
        """
        divisor = int(preprocessor.pad_size_divisor)
        if divisor != 1 and divisor % stride:
            raise ConfigError(
                f"data_preprocessor.pad_size_divisor={divisor} cannot be lowered; give 1 or a "
                f"multiple of {stride}"
            )
        self._candidates = Candidates(
            scores=(),
            deltas=(),
            output=CANDIDATES,
            strides=(1,),
            base_anchors=(((0.0,) * 4,),),
            coder=DistanceCoder(),
            num_classes=classes,
            activation="softmax",
            pre_nms=most,
            numbered=True,
            things=things if things < classes else 0,
        )
        self._detections = Detections(
            CANDIDATES,
            classes,
            MASKS,
            mask_threshold=above(0.0),
            mask_extent="bounds",
            mask_factor=0 if divisor == 1 else stride,
            boxed_masks=True,
            scored_masks=scored,
        )

    def read_panoptic(self, model: Any, stride: int) -> None:
        """The same of the objects of a ``MaskFormer``; things and stuff compete for being best."""
        head, fusion = model.panoptic_head, model.panoptic_fusion_head
        own = ("predict", "instance_postprocess")
        check_type("panoptic_fusion_head", fusion, MaskFormerFusionHead, *own)
        most = int(TestConfig("test_cfg", fusion.test_cfg).number("max_per_image", 100))
        classes, things = int(head.num_classes), int(head.num_things_classes)
        self.read(model.data_preprocessor, classes, things, most, stride, scored=True)

    def add_to(self, program: Building, maps: Sequence[str]) -> None:
        scores, kernels, features = maps
        program.add(replace(self._candidates, scores=(scores,)))
        products = KernelMasks(Picked((), "", ""), DynamicMasks("", "", ""))
        products.add_to(program, [kernels], features, CANDIDATES)
        program.add(self._detections)
