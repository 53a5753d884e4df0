import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.dynamic_masks import DynamicMasks
from lbwdet.errors import ArtifactError


def example(numbers, features=5, **settings):
    random = np.random.default_rng(0)
    values = {
        "kernels": random.normal(0, 1, (4, 1, 1, numbers)).astype(np.float32),
        "features": random.normal(0, 1, (1, 6, 7, features)).astype(np.float32),
    }
    return Example(DynamicMasks("kernels", "features", "y", **settings), values)


def test_one_layer_is_a_convolution_by_predicted_kernels():
    made = example(5, probabilities=True)
    kernels = torch.from_numpy(made.values["kernels"]).reshape(4, 5, 1, 1)
    features = torch.from_numpy(made.values["features"]).permute(0, 3, 1, 2)
    expected = F.conv2d(features, kernels).sigmoid().permute(1, 2, 3, 0).reshape(4, 6, 7, 1)
    np.testing.assert_allclose(compute_alone(made), expected.numpy(), atol=1e-6)


def test_layers_with_biases_and_places():
    """Weights of all layers come first, then the biases, then the place."""
    made = example(7 * 3 + 3 + 4 + 3, channels=(3, 1), bias=True, reach=8.0, step=4, offset=0.5)
    kernels, (features,) = made.values["kernels"][:, 0, 0], made.values["features"]
    found = compute_alone(made)
    for kernel, mask in zip(kernels, found, strict=True):
        weights, second, biases, (x, y, stride) = np.split(kernel, [21, 24, 28])
        row, column = np.mgrid[0:6, 0:7] * 4.0 + 2
        places = np.stack([x - column, y - row], -1) / (stride * 8)
        inputs = np.concatenate([places, features], -1)
        hidden = np.maximum(inputs @ weights.reshape(3, 7).T + biases[:3], 0)
        np.testing.assert_allclose(mask[..., 0], hidden @ second + biases[3], rtol=1e-4, atol=1e-4)


def test_the_numbers_of_another_network():
    with pytest.raises(ArtifactError, match="9 numbers of a network of 5"):
        check_alone(example(9))
    with pytest.raises(ArtifactError, match="2 outputs of the last layer"):
        check_alone(example(10, channels=(2,)))
