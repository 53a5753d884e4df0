"""Position-sensitive pooling of regions."""

from typing import Any

from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor
from torchvision.ops import ps_roi_align, ps_roi_pool

from lbwdet.errors import ConfigError

POOLINGS = ("align", "pool")


@MODELS.register_module()
class PSRoIExtractor(BaseModule):
    """Cuts each region into ``grid_size`` x ``grid_size`` cells and pools each from its own map.

    Channel ``(c * k + row) * k + column`` of a score map, with ``k = grid_size``, holds
    what cell (row, column) of a region votes for output ``c``; the pooled value is
    that channel's mean over the cell.

    Args:
        featmap_stride: pixels of the image per pixel of the score maps.
        grid_size: ``k``, 7 in the paper.
        pooling: ``'align'`` samples each cell bilinearly, as RoIAlign does.
            ``'pool'`` is the paper's: it rounds regions to whole pixels of the score
            maps, by up to 8 image pixels at stride 16, which small objects do not
            survive. Hence the default.
        sampling_ratio: samples of a cell in each direction, for ``'align'``.

    Raises:
        ConfigError: an unknown ``pooling``.
    """

    num_inputs = 2  # score maps of the classes and of the boxes

    def __init__(
        self,
        featmap_stride: int = 16,
        grid_size: int = 7,
        pooling: str = "align",
        sampling_ratio: int = 2,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        if pooling not in POOLINGS:
            raise ConfigError(
                f"pooling={pooling!r} is not known; choose one of {', '.join(POOLINGS)}"
            )
        self.featmap_stride = featmap_stride
        self.grid_size = grid_size
        self.pooling = pooling
        self.sampling_ratio = sampling_ratio

    def forward(self, maps: tuple[Tensor, ...], rois: Tensor) -> tuple[Tensor, ...]:
        """Pools the regions from each score map.

        Args:
            maps: each [B, D * k * k, H, W].
            rois: [R, 5]: index of the image, then x1, y1, x2, y2 in image pixels.

        Returns:
            For each map float32 [R, D, k, k], also under autocast: torchvision pools
            no bfloat16 on a CPU.
        """
        return tuple(self._pool(scores.float(), rois.float()) for scores in maps)

    def _pool(self, scores: Tensor, rois: Tensor) -> Tensor:
        scale, size = 1 / self.featmap_stride, self.grid_size
        if self.pooling == "pool":
            pooled: Tensor = ps_roi_pool(scores, rois, size, scale)
        else:
            pooled = ps_roi_align(scores, rois, size, scale, self.sampling_ratio)
        return pooled
