"""RepPoints: boxes around points, which are predicted twice; or boxes, with points in a grid."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mmdet.models.dense_heads import RepPointsHead
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.mixing import Mixing
from lbwdet.deploy.lower.one_stage import BoxMaps, OneStage
from lbwdet.deploy.lower.settings import Priors, read_points
from lbwdet.deploy.runtime.coders import Coder, DeltaCoder, DistanceCoder
from lbwdet.deploy.runtime.operations.mix import Mix
from lbwdet.deploy.runtime.operations.next_deltas import NextDeltas
from lbwdet.deploy.runtime.operations.point_boxes import PointBoxes
from lbwdet.errors import ConfigError

PARTIAL = 4  # points that count for a "partial" box
LEAST_SIDE = 1e-6  # of a box that is predicted first, in strides
MAX_RATIO = 1e6


@head("RepPointsHead", ("RepPointsDetector", "SingleStageDetector"))
class RepPoints(OneStage):
    """Scores of all levels, then of each level the places of points, and what is added to them.

    With ``use_grid_points``, the deltas of a box and those of the box that these give.
    """

    base = RepPointsHead
    methods = (*OneStage.methods, "forward_single", "points2bbox", "_bbox_decode")

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        head = model.bbox_head
        places, method = 2 * int(head.num_points), head.transform_method
        self._next: NextDeltas | None = None
        if head.use_grid_points:
            if method != "minmax":
                raise ConfigError(
                    f"bbox_head: transform_method={method!r} of points in a grid cannot be "
                    "lowered; give 'minmax'"
                )
            self._next = NextDeltas("", "", "", math.log(LEAST_SIDE / head.point_base_scale))
        rows = tuple(map(tuple, _identity(places, times=2)))
        self._sum = Mix((), "", rows, tuple(_first_places(head)))
        points = PARTIAL if method == "partial_minmax" else int(head.num_points)
        spread = head.moment_transfer.detach().exp().tolist() if method == "moment" else ()
        self._boxes = PointBoxes("", "", points, tuple(spread))

    def priors(self, head: Any) -> Priors:
        """A box around each point, as large as the stride; of a grid, as the first box."""
        points = read_points("bbox_head.prior_generator", head.prior_generator)
        scale = float(head.point_base_scale) if head.use_grid_points else 1.0
        return points.with_sides([scale * stride for stride in points.strides])

    def coder(self, head: Any) -> Coder:
        if head.use_grid_points:
            return DeltaCoder((0.0,) * 4, (1.0,) * 4, MAX_RATIO)
        return DistanceCoder(of_prior=True)

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        """As ``RepPointsHead.forward_single``, but for the last sum and the box around it."""
        head = model.bbox_head
        shift = _from_taps(head)
        scores, places = [], []
        for of_class in model.extract_feat(image):
            of_box = of_class
            for layer in head.cls_convs:
                of_class = layer(of_class)
            for layer in head.reg_convs:
                of_box = layer(of_box)
            first = head.reppoints_pts_init_conv(of_box)
            first = head.reppoints_pts_init_out(head.relu(first))
            offsets = shift(first)
            of_class = head.relu(head.reppoints_cls_conv(of_class, offsets))
            of_box = head.relu(head.reppoints_pts_refine_conv(of_box, offsets))
            scores.append(head.reppoints_cls_out(of_class))
            places += [first, head.reppoints_pts_refine_out(of_box)]
        return (*scores, *places)

    def box_maps(self, program: Building, maps: Sequence[str]) -> BoxMaps:
        levels, boxes = len(maps) // 3, []
        for level in range(levels):
            pair = maps[levels + 2 * level : levels + 2 * level + 2]
            if self._next is not None:
                boxes.append(f"detections.deltas.{level}")
                program.add(replace(self._next, first=pair[0], second=pair[1], output=boxes[-1]))
                continue
            places = f"detections.places.{level}"
            boxes.append(f"detections.sides.{level}")
            program.add(
                replace(self._sum, inputs=tuple(pair), output=places),
                replace(self._boxes, input=places, output=boxes[-1]),
            )
        return BoxMaps(tuple(maps[:levels]), tuple(boxes))


def _from_taps(head: Any) -> Mixing:
    """How far the first points are from the taps of a kernel."""
    taps = _taps(head)
    if not head.use_grid_points:
        places = _first_places(head)
        bias = [place - tap for place, tap in zip(places, taps, strict=True)]
        return Mixing(_identity(len(taps)), bias)
    # A place of the box's middle, in units of its side, that the exponential is of.
    side, last = float(head.point_base_scale), head.dcn_kernel - 1
    line = [index / last - 0.5 for index in range(head.dcn_kernel)]
    rows = []
    for down in line:
        for right in line:
            rows += [[0.0, side, 0.0, side * down], [side, 0.0, side * right, 0.0]]
    return Mixing(rows, [-tap for tap in taps], exponential=(2, 3))


def _taps(head: Any) -> list[float]:
    """Of the kernel's taps, where each is: down, then to the right."""
    line = range(-head.dcn_pad, head.dcn_pad + 1)
    return [float(place) for down in line for right in line for place in (down, right)]


def _first_places(head: Any) -> list[float]:
    """Where points are if nothing is predicted."""
    taps = _taps(head)
    if head.center_init:
        return [0.0] * len(taps)
    scale = head.point_base_scale / 2
    return [tap / max(taps) * scale for tap in taps]


def _identity(size: int, times: int = 1) -> list[list[float]]:
    """Rows that each take the number of their own place, of so many maps."""
    return [[float(i % size == place) for i in range(times * size)] for place in range(size)]
