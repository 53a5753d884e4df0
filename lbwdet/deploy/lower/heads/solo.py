"""SOLO: a class for each cell of a grid, whose mask is a channel of a map, or of two."""

from collections.abc import Sequence
from typing import Any

from mmdet.models.dense_heads import DecoupledSOLOHead, DecoupledSOLOLightHead
from torch import Tensor
from torch.nn import functional as F

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.grid_masks import GridMasks, cat, resized_features, through
from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.places import coordinates
from lbwdet.deploy.lower.resizing import resized
from lbwdet.deploy.runtime.operations.selected_masks import SelectedMasks


@head("SOLOHead", ("SOLO",))
class SOLO(GridMasks):
    """Logits of the masks of all levels, a channel for each cell, and the classes."""

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        """As ``SOLOHead.forward``, up to the sigmoid."""
        head, masks, scores = model.mask_head, [], []
        for level, each in enumerate(resized_features(model.extract_feat(image))):
            pixels = _twice(through(head.mask_convs, cat(each, coordinates(each))))
            masks.append(head.conv_mask_list[level](pixels))
            scores.append(_classes(head, level, each))
        return (*masks, *scores)

    def add_masks(
        self, program: Building, maps: Sequence[str], candidates: str, output: str
    ) -> None:
        levels = len(self.grids)
        selected = SelectedMasks(tuple(maps[:levels]), candidates, output, self.grids)
        program.add(selected)


@head("DecoupledSOLOHead", ("SOLO",))
class DecoupledSOLO(GridMasks):
    """Logits of the masks of all columns of the grids, those of all rows, and the classes."""

    base = DecoupledSOLOHead

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        """As ``DecoupledSOLOHead.forward``, up to the sigmoid."""
        head, columns, rows, scores = model.mask_head, [], [], []
        for level, each in enumerate(resized_features(model.extract_feat(image))):
            places = coordinates(each)
            across = through(head.mask_convs_x, cat(each, places[:, 0:1]))
            down = through(head.mask_convs_y, cat(each, places[:, 1:2]))
            columns.append(head.conv_mask_list_x[level](_twice(across)))
            rows.append(head.conv_mask_list_y[level](_twice(down)))
            scores.append(_classes(head, level, each))
        return (*columns, *rows, *scores)

    def add_masks(
        self, program: Building, maps: Sequence[str], candidates: str, output: str
    ) -> None:
        levels = len(self.grids)
        columns, rows = tuple(maps[:levels]), tuple(maps[levels:])
        program.add(SelectedMasks(columns, candidates, output, self.grids, rows))


@head("DecoupledSOLOLightHead", ("SOLO",))
class DecoupledSOLOLight(DecoupledSOLO):
    """Columns and rows are read from the same features."""

    base = DecoupledSOLOLightHead

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        head, columns, rows, scores = model.mask_head, [], [], []
        for level, each in enumerate(resized_features(model.extract_feat(image))):
            pixels = _twice(through(head.mask_convs, cat(each, coordinates(each))))
            columns.append(head.conv_mask_list_x[level](pixels))
            rows.append(head.conv_mask_list_y[level](pixels))
            scores.append(_classes(head, level, each))
        return (*columns, *rows, *scores)


def _twice(features: Tensor) -> Tensor:
    return F.interpolate(features, scale_factor=2, mode="bilinear")


def _classes(head: Any, level: int, features: Tensor) -> Tensor:
    """The logits of a level's grid, whose cells are looked at from some layer on."""
    for index, layer in enumerate(head.cls_convs):
        if index == head.cls_down_index:
            features = resized(features, head.num_grids[level], head.num_grids[level])
        features = layer(features)
    found: Tensor = head.conv_cls(features)
    return found
