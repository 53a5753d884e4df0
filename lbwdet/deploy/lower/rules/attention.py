"""Attention over pixels and over parts of channels.

See :mod:`lbwdet.deploy.lower.attention`, :mod:`lbwdet.deploy.lower.query_masks` and
:mod:`lbwdet.deploy.lower.idioms`.
"""

from dataclasses import replace

from lbwdet.deploy.lower.rule import Site, rule
from lbwdet.deploy.runtime.operations.attention import Attention
from lbwdet.deploy.runtime.operations.query_masks import QueryMasks
from lbwdet.deploy.runtime.operations.softmax_of_parts import SoftmaxOfParts
from lbwdet.deploy.runtime.operations.softmax_pool import SoftmaxPool


@rule("softmax_pool")
def softmax_pool(site: Site) -> SoftmaxPool:
    return SoftmaxPool(site.value("self"), site.value("logits"), site.output)


@rule("softmax_of_parts")
def softmax_of_parts(site: Site) -> SoftmaxOfParts:
    groups, parts = site.argument("groups"), site.argument("parts")
    return SoftmaxOfParts(site.value("self"), site.output, groups, parts)


@rule("attention")
def attention(site: Site) -> Attention:
    plain = Attention(
        site.value("query"),
        site.value("key"),
        site.value("value"),
        site.output,
        heads=int(site.argument("heads")),
        scale=float(site.argument("scale")),
    )
    if site.argument("mask") is None:
        return plain
    mask = site.value("mask")
    if isinstance(site.writer(mask), QueryMasks):
        return replace(plain, seen=mask)
    return replace(plain, kept=mask)


@rule("kept_mask")
def kept_mask(site: Site) -> str:
    """The operation knows the mask by the numbers that it is made of."""
    return site.value("kept")


@rule("query_masks")
def query_masks(site: Site) -> QueryMasks:
    return QueryMasks(site.value("kernels"), site.value("features"), site.output)


@rule("unseen")
def unseen(site: Site) -> str:
    """The operation knows what is not seen by the masks."""
    return site.value("masks")


@rule("window_attention")
def window_attention(site: Site) -> Attention:
    bias, key, value = (
        tuple(site.argument(name).double().flatten().tolist())
        for name in ("bias", "key_padding", "value_padding")
    )
    return replace(
        attention(site),
        window=int(site.argument("window")),
        shift=int(site.argument("shift")),
        bias=bias,
        key_padding=key,
        value_padding=value,
    )
