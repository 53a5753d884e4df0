"""SOLOv2: a class and the kernel of a 1 x 1 convolution for each cell of a grid."""

from collections.abc import Sequence
from typing import Any

from mmdet.models.dense_heads import SOLOV2Head
from mmdet.models.dense_heads.solov2_head import MaskFeatModule
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.grid_masks import GridMasks, cat, resized_features, through
from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.kernel_masks import KernelMasks
from lbwdet.deploy.lower.places import coordinates
from lbwdet.deploy.lower.resizing import resized
from lbwdet.deploy.lower.settings import check_type
from lbwdet.deploy.runtime.operations.dynamic_masks import DynamicMasks
from lbwdet.deploy.runtime.operations.picked import Picked
from lbwdet.errors import ConfigError


@head("SOLOV2Head", ("SOLOv2",))
class SOLOv2(GridMasks):
    """The map that all kernels meet, the kernels of all levels, and the classes of all levels."""

    base = SOLOV2Head

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        mask_head = model.mask_head
        check_type(
            "mask_head.mask_feature_head", mask_head.mask_feature_head, MaskFeatModule, "forward"
        )
        if mask_head.dynamic_conv_size != 1:
            raise ConfigError(
                f"mask_head.dynamic_conv_size={mask_head.dynamic_conv_size} cannot be lowered; "
                "give 1"
            )

    def mask_stride(self, head: Any) -> int:
        return int(head.mask_stride)

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        """As ``SOLOV2Head.forward``."""
        head, features = model.mask_head, model.extract_feat(image)
        shared = _mask_features(head.mask_feature_head, features)
        kernels, scores = [], []
        for each, grid in zip(resized_features(features), head.num_grids, strict=True):
            cells = resized(cat(each, coordinates(each)), grid, grid)
            kernels.append(head.conv_kernel(through(head.kernel_convs, cells)))
            scores.append(head.conv_cls(through(head.cls_convs, cells[:, :-2])))
        return (shared, *kernels, *scores)

    def add_masks(
        self, program: Building, maps: Sequence[str], candidates: str, output: str
    ) -> None:
        shared, *kernels = maps
        one_layer = KernelMasks(Picked((), "", ""), DynamicMasks("", "", "", probabilities=True))
        one_layer.add_to(program, kernels, shared, candidates, output)


def _mask_features(module: MaskFeatModule, features: Sequence[Tensor]) -> Tensor:
    """As ``MaskFeatModule.forward``: a sum over levels, of which the last has coordinates."""
    first, *others = features[module.start_level : module.end_level + 1]
    total = module.convs_all_levels[0](first)
    for index, each in enumerate(others, 1):
        if index == len(others):
            each = cat(each, coordinates(each))
        total = total + module.convs_all_levels[index](each)
    found: Tensor = module.conv_pred(total)
    return found
