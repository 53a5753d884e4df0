import numpy as np
import pytest
import torch
from mmdet.models.layers.transformer import coordinate_to_encoding

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.box_encoding import BoxEncoding
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ArtifactError


@pytest.mark.parametrize("order", [(1, 0), (1, 0, 2, 3)], ids=["points", "boxes"])
def test_mmdetection_encodes_the_same(order):
    logits = np.random.default_rng(0).normal(0, 3, (1, 1, 20, len(order))).astype(np.float32)
    found = compute_alone(Example(BoxEncoding("x", "y", 12, order), {"x": logits}))
    expected = coordinate_to_encoding(torch.from_numpy(logits[0]).sigmoid(), num_feats=12)
    np.testing.assert_allclose(found[0], expected.numpy(), rtol=0, atol=2e-6)


def test_numbers_that_are_not_there():
    with pytest.raises(ArtifactError, match="there is no number 2 among 2"):
        given = {"x": np.zeros((1, 1, 3, 2), np.float32)}
        operation = BoxEncoding("x", "y", 4, (0, 2))
        check_alone(Example(operation, given, {"y": Quantization(0.1)}))
