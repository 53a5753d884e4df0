import pytest

from lbwdet.deploy.runtime.reference_engine import ReferenceEngine
from lbwdet.deploy.testing import random_image
from tests.deploy.runtime.native_cases import made, names_of


@pytest.fixture(scope="module")
def expected():
    """Values and detections of the reference engine, computed once."""
    known = {}

    def compute(key, size):
        if (key, size) not in known:
            artifact = made(key)
            image, engine = random_image(7, *size), ReferenceEngine(artifact)
            values = engine.values(image, names_of(artifact))
            known[key, size] = artifact, image, values, engine.detect(image)
        return known[key, size]

    return compute
