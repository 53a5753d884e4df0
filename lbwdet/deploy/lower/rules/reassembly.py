"""CARAFE; see :mod:`lbwdet.deploy.lower.reassembly`."""

from lbwdet.deploy.lower.rule import Site, rule
from lbwdet.deploy.runtime.operations.reassemble import Reassemble


@rule("reassemble")
def reassemble(site: Site) -> Reassemble:
    return Reassemble(
        site.value("input"),
        site.value("logits"),
        site.output,
        kernel=int(site.argument("kernel")),
        factor=int(site.argument("factor")),
        groups=int(site.argument("groups")),
    )
