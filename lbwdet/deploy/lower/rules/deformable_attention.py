"""Attention that samples several maps; see :mod:`lbwdet.deploy.lower.deformable_attention`."""

from lbwdet.deploy.lower.rule import Site, rule
from lbwdet.deploy.runtime.operations.deformable_attention import DeformableAttention


@rule("deformable_attention")
def deformable_attention(site: Site) -> DeformableAttention:
    return DeformableAttention(
        values=site.values("values"),
        offsets=site.value("offsets"),
        logits=site.value("logits"),
        output=site.output,
        heads=int(site.argument("heads")),
        points=int(site.argument("points")),
        references=None if site.argument("references") is None else site.value("references"),
    )
