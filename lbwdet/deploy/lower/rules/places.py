"""What does not depend on the image; see :mod:`lbwdet.deploy.lower.places`."""

from lbwdet.deploy.lower.rule import Site, rule
from lbwdet.deploy.runtime.operations.coordinates import Coordinates
from lbwdet.deploy.runtime.operations.embedding import Embedding
from lbwdet.deploy.runtime.operations.sine_encoding import SineEncoding


@rule("embedding")
def embedding(site: Site) -> Embedding:
    height, width = int(site.argument("height")), int(site.argument("width"))
    layer = site.add_layer((1, 1), 2 * height * width, in_two=True)
    return Embedding(layer, site.output, height, width, in_two=True)


@rule("sine_encoding")
def sine_encoding(site: Site) -> SineEncoding:
    return SineEncoding(
        site.value("like"),
        site.output,
        channels=int(site.argument("channels")),
        temperature=float(site.argument("temperature")),
        scale=float(site.argument("scale")),
        offset=float(site.argument("offset")),
        epsilon=float(site.argument("eps")),
    )


@rule("coordinates")
def coordinates(site: Site) -> Coordinates:
    return Coordinates(site.value("like"), site.output)
