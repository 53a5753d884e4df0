"""An artifact's weights in a PyTorch model."""

import torch
from torch import Tensor, nn

from lbwdet.deploy.runtime.artifact import Artifact
from lbwdet.errors import ArtifactError
from lbwdet.layers import QuantLayer


def decoded_weights(artifact: Artifact) -> dict[str, Tensor]:
    """The float32 weights of an artifact by parameter name, ``LAYER.weight``: [o, i, kh, kw].

    For low-bit layers these are, bit for bit, the weights that training computed with.
    """
    return {
        f"{layer}.weight": torch.from_numpy(weight.dequantize())
        for layer, weight in artifact.weights.items()
    }


def load_into(model: nn.Module, artifact: Artifact) -> None:
    """Gives a model the weights that an artifact stores, to evaluate them in PyTorch.

    Only weights are replaced: biases and batch norm are taken from the checkpoint
    that the model was loaded from. Layers that quantize become float: what they get
    is quantized already. A fully connected layer's weight may be [o, c, h, w] in the
    artifact; its rows are the flattened maps.

    Args:
        model: with a parameter ``LAYER.weight`` for each layer of the artifact; changed
            in place, after everything was checked.

    Raises:
        ArtifactError: a layer is not in the model, or its weight has another size.
    """
    weights = decoded_weights(artifact)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name, weight in weights.items():
        if name not in parameters:
            raise ArtifactError(f"the model has no parameter {name!r}; is it of another config?")
        shape = tuple(parameters[name].shape)
        if shape[:1] != weight.shape[:1] or parameters[name].numel() != weight.numel():
            raise ArtifactError(
                f"{name} is {shape} in the model, {tuple(weight.shape)} in the artifact"
            )
    with torch.no_grad():
        for name, weight in weights.items():
            layer = model.get_submodule(name.removesuffix(".weight"))
            if isinstance(layer, QuantLayer):
                layer.quantizer = None
                layer.forget_projection()
            parameters[name].copy_(weight.reshape(parameters[name].shape))
