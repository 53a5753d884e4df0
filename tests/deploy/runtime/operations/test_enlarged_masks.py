import numpy as np
import pytest
import torch
from mmdet.models.utils import aligned_bilinear

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.enlarged_masks import EnlargedMasks
from lbwdet.errors import ArtifactError


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_condinst_finds_the_same(factor):
    logits = np.random.default_rng(0).normal(0, 2, (3, 4, 5, 1)).astype(np.float32)
    found = compute_alone(Example(EnlargedMasks("x", "y", factor), {"x": logits}))
    expected = aligned_bilinear(torch.from_numpy(logits).permute(0, 3, 1, 2), factor).sigmoid()
    np.testing.assert_allclose(found[..., 0], expected[:, 0].numpy(), atol=1e-6)


def test_more_than_a_mask():
    with pytest.raises(ArtifactError, match="2 channels of a mask"):
        check_alone(Example(EnlargedMasks("x", "y", 2), {"x": np.zeros((1, 2, 2, 2), np.float32)}))
