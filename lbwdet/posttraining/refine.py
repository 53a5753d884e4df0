"""Refinement by gradient, without labels: low-bit weights that move to the float outputs.

The student is the projected network, the teacher the float one. Both see the same inputs;
the loss is the squared distance of their outputs at every *point* (what a batch norm
writes, or a layer that none follows), relative to the variance of the teacher's:

    loss = sum over points  share * mean (y - y')^2 / var y'.

A weight moves in units of levels: ``round(v)`` is the number of the level that it computes
with, and the gradient comes straight through the rounding with the local distance of two
levels as its slope. ``v`` starts where the real weight lay that was rounded, so that those
go over to another level first for which that costs least. Batch norms' affine parameters
and biases are real numbers and move along.

Steps are momentum divided by the root mean square of the gradient over the whole tensor.
Divided entry by entry (Adam) all weights of a layer would go the same way in a step, and
cross over to other levels together whether or not it matters.
"""

import contextlib
import dataclasses
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from lbwdet.errors import LBWError
from lbwdet.posttraining.plan import Plan, is_norm
from lbwdet.quantizers.gaps import gaps

_WITHIN = 0.49  # of a level: what lies farther away was rounded to this one on purpose
_MOMENTUM, _SQUARES = 0.9, 0.99


@dataclasses.dataclass(frozen=True)
class Refinement:
    """How much, and how fast.

    Attributes:
        steps: of the optimizer.
        batch: inputs per step.
        level_rate: root mean square of a step of a layer's weights, in levels; 0: they stay,
            and only batch norms and biases are refined.
        rate: of batch norms and biases, as a share of their root mean square.
        inner: share of a point with a batch norm in the loss; others have 1.
        seed: of the inputs' order.
    """

    steps: int = 200
    batch: int = 4
    level_rate: float = 0.0
    rate: float = 5e-3
    inner: float = 0.1
    seed: int = 0


class LevelWeight:
    """A layer's weight on the way from level to level.

    Args:
        layer: it computes with levels already.
        levels: float32 [2 n + 1], all levels of a group whose top level is 1, ascending.
        top: the top levels, broadcastable to the weight.
        real: the weight that was rounded to what the layer has; None: not known.
    """

    def __init__(
        self, layer: nn.Module, levels: Tensor, top: Tensor, real: Tensor | None = None
    ) -> None:
        self.weight: nn.Parameter = layer.weight  # type: ignore[assignment]
        self.top, self.levels, self.slopes = top, levels, gaps(levels)
        middles = (levels[1:] + levels[:-1]) / 2
        number = torch.bucketize((self.weight.detach() / top).contiguous(), middles)
        self.number = number.float()
        if real is not None:
            beyond = (real / top - levels[number]) / self.slopes[number]
            self.number += beyond.clamp(-_WITHIN, _WITHIN)

    def _rounded(self) -> Tensor:
        return self.number.round().long()

    def gradient(self, of_weight: Tensor) -> Tensor:
        """With respect to ``number``."""
        return of_weight * self.slopes[self._rounded()] * self.top

    def write(self) -> None:
        """Puts the levels into the layer."""
        self.number.clamp_(0, len(self.levels) - 1)
        self.weight.copy_(self.levels[self._rounded()] * self.top)


class _Moved:
    """A tensor and its momentum."""

    def __init__(self, value: Tensor, rate: float) -> None:
        self.value, self.rate = value, rate
        self._momentum, self._square = torch.zeros_like(value), 0.0
        self._steps = 0

    def step(self, gradient: Tensor, pace: float) -> None:
        self._steps += 1
        self._momentum.lerp_(gradient, 1 - _MOMENTUM)
        self._square += (1 - _SQUARES) * (float(gradient.square().mean()) - self._square)
        size = math.sqrt(self._square / (1 - _SQUARES**self._steps))
        if size > 0:
            scale = self.rate * pace / size / (1 - _MOMENTUM**self._steps)
            self.value.sub_(self._momentum, alpha=scale)


class _Enough(BaseException):
    """Ends a pass when all points are seen; not an Exception, so that none catches it."""


class _Points:
    """Collects what each point of a network writes, for each thread by itself."""

    def __init__(self, model: nn.Module, uses: Mapping[str, int]) -> None:
        self._number = sum(uses.values())
        self._local = threading.local()
        self._hooks = [
            model.get_submodule(name).register_forward_hook(self._hook(name)) for name in uses
        ]

    def _hook(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            found = self._local.found
            found.append((name, _tensor(output)))
            if len(found) == self._number:
                raise _Enough

        return hook

    def of(self, forward: Callable[[], object]) -> list[tuple[str, Tensor]]:
        self._local.found = []
        with contextlib.suppress(_Enough):
            forward()
        found: list[tuple[str, Tensor]] = self._local.found
        del self._local.found
        return found

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()


def point_uses(plan: Plan) -> dict[str, int]:
    """Batch norms, and layers that none follows, with how often a pass calls them."""
    return {name: uses for name, uses in plan.uses.items() if name not in plan.norms}


def refine(
    model: nn.Module,
    floating: nn.Module,
    weights: Mapping[str, LevelWeight],
    plan: Plan,
    inputs: Sequence[Any],
    forward: Callable[[nn.Module, Any], object],
    settings: Refinement,
    pool: ThreadPoolExecutor,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """Moves the weights of ``model``, in place."""
    reals = _real_parameters(model, weights)
    parameters = [weight.weight for weight in weights.values()] + reals
    wanted = [parameter.requires_grad for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for parameter in parameters:
        parameter.requires_grad_(True)
    uses = point_uses(plan)
    inner = {name for name in uses if is_norm(model.get_submodule(name))}
    student, teacher = _Points(model, uses), _Points(floating, uses)
    moved = [_Moved(weight.number, settings.level_rate) for weight in weights.values()]
    moved += [_Moved(real.detach(), settings.rate * _size(real)) for real in reals]

    def part(x: Any) -> tuple[float, tuple[Tensor | None, ...]]:
        with torch.no_grad():
            goal = teacher.of(lambda: forward(floating, x))
        with torch.enable_grad():
            reached = student.of(lambda: forward(model, x))
            loss = torch.zeros(())
            for (name, y), (_, wish) in zip(reached, goal, strict=False):
                if y.shape == wish.shape:
                    share = settings.inner if name in inner else 1.0
                    loss = loss + share * (y - wish).square().mean() / wish.var().clamp(min=1e-12)
            if not loss.requires_grad:
                raise LBWError("the forward pass computes without gradient: nothing to refine by")
            return float(loss.detach()), torch.autograd.grad(loss, parameters, allow_unused=True)

    generator = torch.Generator().manual_seed(settings.seed)
    queue: list[int] = []
    try:
        for step in range(settings.steps):
            while len(queue) < settings.batch:
                queue += torch.randperm(len(inputs), generator=generator).tolist()
            chosen, queue = queue[: settings.batch], queue[settings.batch :]
            total, gradients = 0.0, [torch.zeros_like(parameter) for parameter in parameters]
            for loss, found in pool.map(part, [inputs[index] for index in chosen]):
                total += loss / settings.batch
                for gradient, piece in zip(gradients, found, strict=True):
                    if piece is not None:
                        gradient += piece / settings.batch
            for index, weight in enumerate(weights.values()):
                gradients[index] = weight.gradient(gradients[index])
            for each, gradient in zip(moved, gradients, strict=True):
                each.step(gradient, _pace(step / settings.steps))
            with torch.no_grad():
                for weight in weights.values():
                    weight.write()
            on_step(step, total)
    finally:
        student.remove()
        teacher.remove()
        for parameter, was in zip(model.parameters(), wanted, strict=True):
            parameter.requires_grad_(was)


def _tensor(output: Any) -> Tensor:
    """What a module gives, without what attention gives beside it."""
    tensor: Tensor = output[0] if isinstance(output, tuple) else output
    return tensor


def _size(parameter: Tensor) -> float:
    """The root mean square; 1 where all is zero."""
    return float(parameter.detach().square().mean().sqrt()) or 1.0


def _pace(done: float) -> float:
    """A tenth of warming up, then half a cosine."""
    return min(done * 10 + 0.1, 1.0) * (1 + math.cos(math.pi * done)) / 2


def _real_parameters(model: nn.Module, weights: Mapping[str, LevelWeight]) -> list[nn.Parameter]:
    found = []
    for name, module in model.named_modules():
        if is_norm(module):
            found += [p for p in (module.weight, module.bias) if p is not None]
        elif name in weights:
            biases = (getattr(module, key, None) for key in ("bias", "in_proj_bias"))
            found += [bias for bias in biases if bias is not None]
    return found
