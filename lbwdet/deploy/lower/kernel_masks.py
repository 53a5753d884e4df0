"""Masks of the image by kernels that are predicted for each box."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.runtime.operations.dynamic_masks import DynamicMasks
from lbwdet.deploy.runtime.operations.picked import Picked
from lbwdet.errors import ConfigError

MASKS = "masks"


@dataclass(frozen=True)
class KernelMasks:
    """How kernels are read, and what is computed with them; the names come later."""

    picked: Picked
    masks: DynamicMasks

    def add_to(
        self,
        program: Building,
        kernels: Sequence[str],
        features: str,
        candidates: str,
        output: str = MASKS,
    ) -> None:
        """Adds the masks of numbered candidates.

        Args:
            program: has the candidates.
            kernels: names of maps, one for each level.
            features: name of the map that all kernels meet.
            candidates: name of the candidates.
            output: name of the masks.
        """
        numbers = f"{output}.kernels"
        program.add(
            replace(self.picked, inputs=tuple(kernels), candidates=candidates, output=numbers),
            replace(self.masks, kernels=numbers, features=features, output=output),
        )


def with_places(
    strides: Sequence[int], offset: float, generator: Any, channels: Sequence[int], reach: float
) -> KernelMasks:
    """Networks with biases that also see where a pixel lies from the candidate's place.

    Args:
        strides: of the levels that kernels are predicted on.
        offset: of the places there, in strides.
        generator: of the places of the mask's pixels, on its first level.
        channels: outputs of the layers but the last.
        reach: of what length, in strides of a level, a number of 1 speaks.

    Raises:
        ConfigError: its places are no whole number of pixels apart.
    """
    step = generator.strides[0][0]
    if step != int(step) or generator.strides[0][1] != step:
        raise ConfigError(f"strides of {generator.strides[0]} cannot be lowered; give one number")
    return KernelMasks(
        Picked((), "", "", strides=tuple(strides), offset=offset),
        DynamicMasks(
            "",
            "",
            "",
            channels=(*channels, 1),
            bias=True,
            reach=reach,
            step=int(step),
            offset=float(generator.offset),
        ),
    )
