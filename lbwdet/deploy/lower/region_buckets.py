"""SABL's region heads: each side of a box is in one of some buckets, and how surely is a factor."""

from typing import Any

from mmdet.models.roi_heads.bbox_heads import SABLHead
from mmdet.models.task_modules import BucketingBBoxCoder
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.lines import line_mean, line_numbers, longer_line
from lbwdet.deploy.lower.settings import check_exactly, check_type
from lbwdet.deploy.runtime.coders import DistanceCoder
from lbwdet.deploy.runtime.operations.bucket_confidence import BucketConfidence
from lbwdet.deploy.runtime.operations.bucket_sides import BucketSides
from lbwdet.deploy.runtime.operations.line_buckets import LineBuckets
from lbwdet.errors import ConfigError


def check_bucket_head(name: str, head: Any) -> None:
    """Raises ConfigError if such a head makes boxes in another way."""
    methods = "forward", "_predict_by_feat_single", "regress_by_class", "reg_forward"
    check_type(name, head, SABLHead, *methods)
    if head.num_reg_fcs or head.reg_feat_up_ratio == 1:
        raise ConfigError(
            f"{name}: num_reg_fcs={head.num_reg_fcs}, reg_feat_up_ratio={head.reg_feat_up_ratio} "
            "cannot be lowered; supported are no layers there, and a ratio above 1"
        )


def read_bucket_coder(name: str, coder: Any) -> DistanceCoder:
    """Buckets divide a box that is ``scale_factor`` times as large as the region."""
    check_exactly(name, coder, BucketingBBoxCoder)
    size = float(coder.scale_factor) / int(coder.num_buckets)
    return DistanceCoder(size, bool(coder.clip_border), inset=1.0, of_prior=True)


def bucket_maps(head: Any, features: Tensor) -> tuple[Tensor, ...]:
    """As ``SABLHead.forward``, up to where sides are told apart.

    Returns:
        Scores of classes [n, C + 1]; scores of buckets along the width [n, k, 1, w] and the height
        [n, k, h, 1]; offsets likewise.
    """
    x = features
    for conv in head.reg_pre_convs:
        x = conv(x)
    across = line_mean(x, head.reg_conv_att_x(x), "columns")
    down = line_mean(x, head.reg_conv_att_y(x), "rows")
    for conv in head.reg_post_conv_xs:
        across = conv(across)
    for conv in head.reg_post_conv_ys:
        down = conv(down)
    lines = [
        longer_line(line, layer.weight, layer.bias).relu()
        for line, layer in ((across, head.upsample_x), (down, head.upsample_y))
    ]
    numbers = [
        line_numbers(line, layer.weight, layer.bias)
        for layer in (head.fc_reg_cls, head.fc_reg_offset)
        for line in lines
    ]
    return (head.cls_forward(features), *numbers)


def add_buckets(program: Building, head: Any, maps: tuple[str, ...], name: str) -> tuple[str, str]:
    """Adds what boxes are decoded from, of :func:`bucket_maps`.

    Args:
        program: has the maps.
        head: the region head.
        maps: their names, but that of the scores of classes.
        name: that values begin with.

    Returns:
        Names of the sides and of the factors of scores.
    """
    buckets, offsets, sides, factors = (
        f"{name}.{part}" for part in ("buckets", "offsets", "sides", "confidence")
    )
    count, whole = int(head.side_num), int(head.num_buckets)
    program.add(
        LineBuckets(maps[0], maps[1], buckets),
        LineBuckets(maps[2], maps[3], offsets),
        BucketSides(buckets, offsets, sides, count, whole),
        BucketConfidence(buckets, factors, count),
    )
    return sides, factors
