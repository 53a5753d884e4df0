"""Focal losses and their gradients.

Written with log-sigmoid where mmcv takes the logarithm of a clamped
probability: mmcv's float32 background loss jumps from 17 to 87 at a logit of
about 17; the exact value is the logit itself.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from lbwdet.compat.operators.numerics import widen


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Fills ``output`` with -alpha (1-p)^gamma log(p) at the target's class and
    -(1-alpha) p^gamma log(1-p) elsewhere, for p = sigmoid(input).

    Args:
        input: logits [N, C].
        target: [N], int64; anything outside 0..C-1 is background.
        weight: [C] by the class of the target (1 for background), or empty.
        output: [N, C].
        gamma: focusing exponent.
        alpha: weight of the positive class.
    """
    logits = widen(input)
    positive = -alpha * torch.sigmoid(-logits) ** gamma * F.logsigmoid(logits)
    negative = (alpha - 1) * torch.sigmoid(logits) ** gamma * F.logsigmoid(-logits)
    loss = positive.where(_is_target(target, logits), negative)
    output.copy_(loss * _class_weight(weight, target, logits)[:, None])


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Fills ``grad_input`` [N, C] with the derivative of the loss by the logits."""
    logits = widen(input)
    p, q = torch.sigmoid(logits), torch.sigmoid(-logits)
    positive = alpha * q**gamma * (gamma * p * F.logsigmoid(logits) - q)
    negative = (alpha - 1) * p**gamma * (gamma * q * F.logsigmoid(-logits) - p)
    gradient = positive.where(_is_target(target, logits), negative)
    grad_input.copy_(gradient * _class_weight(weight, target, logits)[:, None])


def softmax_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Fills ``output`` with -alpha (1-p)^gamma log(p), p the probability of the target.

    Args:
        input: probabilities [N, C] (mmcv applies the softmax).
        target: [N], int64, below C; negative ones are ignored.
        weight: [C] by the class of the target, or empty.
        output: [N].
        gamma: focusing exponent.
        alpha: weight of the loss.
    """
    p, weights = _target_probability(input, target, weight)
    output.copy_(-alpha * weights * (1 - p) ** gamma * _log(p))


def softmax_focal_loss_backward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    buff: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Fills ``grad_input`` [N, C] with the derivative of the loss by the logits."""
    p, weights = _target_probability(input, target, weight)
    # gamma - 1 may be negative and p exactly 1.
    q = (1 - p).clamp(min=torch.finfo(p.dtype).tiny)
    by_p = alpha * weights * (gamma * q ** (gamma - 1) * p * _log(p) - (1 - p) ** gamma)
    probabilities = widen(input)
    grad_input.copy_(by_p[:, None] * (_is_target(target, input).to(p.dtype) - probabilities))


def _is_target(target: Tensor, scores: Tensor) -> Tensor:
    """[N, C], true where the column is the class of the row's target."""
    return target[:, None] == torch.arange(scores.size(1), device=target.device)


def _class_weight(weight: Tensor, target: Tensor, scores: Tensor) -> Tensor:
    """[N], the weight of each target's class; 1 for background or without weights."""
    ones = torch.ones_like(target, dtype=scores.dtype)
    if weight.numel() == 0:
        return ones
    known = (target >= 0) & (target < len(weight))
    return widen(weight).to(scores.dtype)[target.where(known, 0)].where(known, ones)


def _target_probability(input: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Probability and weight of each target, both [N]; weight 0 where it is ignored."""
    probabilities = widen(input)
    chosen = probabilities.gather(1, target.clamp(min=0)[:, None]).squeeze(1)
    return chosen, _class_weight(weight, target, probabilities) * (target >= 0)


def _log(p: Tensor) -> Tensor:
    return p.clamp(min=torch.finfo(torch.float32).tiny).log()
