"""VFNet: distances predicted twice, the second time from where the first ones point."""

from collections.abc import Sequence
from typing import Any

from mmdet.models.dense_heads import VFNetHead
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.mixing import Mixing
from lbwdet.deploy.lower.one_stage import BoxMaps, OneStage
from lbwdet.deploy.lower.settings import Priors, read_distance_coder, read_points
from lbwdet.deploy.runtime.coders import DistanceCoder
from lbwdet.deploy.runtime.operations.mix import Mix

SIDES = 4  # left, top, right, bottom
SUM = tuple(tuple(float(i % SIDES == side) for i in range(2 * SIDES)) for side in range(SIDES))


@head("VFNetHead", ("VFNet", "SingleStageDetector"))
class VFNet(OneStage):
    """Scores of all levels, then of each level the two logarithms whose sum is a distance's.

    MMDetection multiplies the exponentials.
    """

    base = VFNetHead
    methods = (*OneStage.methods, "forward_single", "star_dcn_offset")

    def priors(self, head: Any) -> Priors:
        """A box as large as the unit of distances around each point."""
        points = read_points("bbox_head.prior_generator", head.prior_generator)
        return points.with_sides(_units(head))

    def coder(self, head: Any) -> DistanceCoder:
        clip = read_distance_coder("bbox_head.bbox_coder", head.bbox_coder).clip
        return DistanceCoder(clip=clip, exponential=True, of_prior=True)

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        """As ``VFNetHead.forward_single``, but with logarithms."""
        head = model.bbox_head
        scores, logarithms = [], []
        for level, of_class in enumerate(model.extract_feat(image)):
            of_box = of_class
            for layer in head.cls_convs:
                of_class = layer(of_class)
            for layer in head.reg_convs:
                of_box = layer(of_box)
            first = head.scales[level](head.vfnet_reg(head.vfnet_reg_conv(of_box)))
            offsets = _star(_units(head)[level] / head.strides[level])(first)
            of_box = head.relu(head.vfnet_reg_refine_dconv(of_box, offsets))
            second = head.scales_refine[level](head.vfnet_reg_refine(of_box))
            of_class = head.relu(head.vfnet_cls_dconv(of_class, offsets))
            scores.append(head.vfnet_cls(of_class))
            logarithms += [first, second]
        return (*scores, *logarithms)

    def box_maps(self, program: Building, maps: Sequence[str]) -> BoxMaps:
        levels, sums = len(maps) // 3, []
        for level in range(levels):
            pair = tuple(maps[levels + 2 * level : levels + 2 * level + 2])
            sums.append(f"detections.logarithms.{level}")
            program.add(Mix(pair, sums[-1], SUM, (0.0,) * SIDES))
        return BoxMaps(tuple(maps[:levels]), tuple(sums))


def _units(head: Any) -> list[float]:
    """Pixels, by level, that distances are predicted in."""
    in_strides = head.bbox_norm_type == "stride"
    return [float(unit) for unit in (head.strides if in_strides else head.reg_denoms)]


def _star(unit: float) -> Mixing:
    """Offsets that move a kernel's nine taps to the box's middle, corners and sides.

    The box is given by its distances' logarithms in units of so many pixels of the map.
    """
    factors, bias = [], []
    for down, right in ((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)):
        for step, before, after in ((down, 1, 3), (right, 0, 2)):
            side = {-1: before, 1: after}.get(step)
            factors.append([step * unit * (index == side) for index in range(SIDES)])
            bias.append(float(-step))
    return Mixing(factors, bias, exponential=range(SIDES))
