"""Running a model whose queries begin at pixels that somebody else chose."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.overrides import TorchFunctionMode

import lbwdet.deploy.lower.proposals  # noqa: F401  (registers the operator)

Array = NDArray[Any]


class Selected(TorchFunctionMode):
    """Inside the block the pixels with the best scores are those given.

    Of almost equal scores rounding decides which is better, and every query is another then, though
    none is wrong. With the same pixels, what comes of them can be compared, and apart from it how
    good the choice was.

    Args:
        numbers: of the pixels, [1, 1, q, 1] float32, of every choice that is made.

    Attributes:
        found: of each choice, the model's own scores of the pixels given.
        expected: of those that it would have chosen.
    """

    def __init__(self, numbers: Sequence[Array]) -> None:
        super().__init__()
        self._numbers = [torch.from_numpy(each.copy()).reshape(1, 1, 1, -1) for each in numbers]
        self.found: list[Array] = []
        self.expected: list[Array] = []

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if function is torch.ops.lbwdet.best_pixels.default:
            scores, _, classes = args
            best = torch.cat([x[0, :classes].amax(0).flatten() for x in scores])
            numbers = self._numbers[len(self.found)]
            self._note(best, numbers, result)
            return numbers
        if function is torch.ops.lbwdet.distinct_pixels.default:
            best = torch.cat([x[0].amax(0).flatten() for x in args[0]])
            numbers = self._numbers[len(self.found)]
            self._note(best, numbers, result)
            return numbers
        if function is torch.topk and args[0].dim() == 2 and len(self._numbers) > len(self.found):
            numbers = self._numbers[len(self.found)]
            self._note(args[0][0], numbers, result[1])
            chosen = numbers.long().reshape(1, -1)
            return args[0].gather(1, chosen), chosen
        return result

    def _note(self, scores: Tensor, given: Tensor, own: Tensor) -> None:
        for list_, numbers in ((self.found, given), (self.expected, own)):
            list_.append(np.asarray(scores[numbers.long().flatten()].detach().numpy()))
