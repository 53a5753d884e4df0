"""What regions compute with one another; see :mod:`lbwdet.deploy.lower.regions`."""

from dataclasses import replace

from lbwdet.deploy.lower.rule import Site, rule
from lbwdet.deploy.lower.rules.attention import attention
from lbwdet.deploy.runtime.operations.attention import Attention
from lbwdet.deploy.runtime.operations.embedding import Embedding
from lbwdet.deploy.runtime.operations.place_attention import PlaceAttention
from lbwdet.deploy.runtime.operations.region_product import RegionProduct


@rule("of_boxes")
def of_boxes(site: Site) -> Embedding:
    count = site.call.shape[0]
    layer = site.add_layer((1, 1), count)
    return Embedding(layer, site.output, 1, count, boxes=site.value("boxes"))


@rule("attention_across")
def attention_across(site: Site) -> Attention:
    return replace(attention(site), across=True)


@rule("place_attention")
def place_attention(site: Site) -> PlaceAttention:
    return PlaceAttention(
        site.value("query"),
        site.value("value"),
        site.output,
        across=tuple(site.argument("across")),
        down=tuple(site.argument("down")),
        heads=int(site.argument("heads")),
        step=int(site.argument("step")),
    )


@rule("region_product")
def region_product(site: Site) -> RegionProduct:
    return RegionProduct(
        site.value("input"),
        site.value("matrices"),
        site.output,
        first=int(site.argument("first")),
        channels=int(site.argument("channels")),
    )
