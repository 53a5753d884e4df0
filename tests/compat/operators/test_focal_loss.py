"""Focal losses: values and gradients against autograd of the textbook formula."""

import pytest
import torch
from mmcv.ops import SigmoidFocalLoss, SoftmaxFocalLoss, sigmoid_focal_loss, softmax_focal_loss

GAMMAS = (0.0, 0.5, 2.0)


def textbook_sigmoid(logits, target, gamma, alpha, weight):
    p = logits.sigmoid()
    hit = torch.nn.functional.one_hot(target, logits.size(1) + 1)[:, :-1].bool()
    p_t = torch.where(hit, p, 1 - p)
    alpha_t = torch.where(hit, alpha, 1 - alpha)
    row = 1 if weight is None else torch.cat([weight, weight.new_ones(1)])[target][:, None]
    return -alpha_t * (1 - p_t) ** gamma * p_t.log() * row


def textbook_softmax(logits, target, gamma, alpha, weight):
    losses = []
    for row, label in zip(logits, target.tolist(), strict=True):
        p = row.softmax(0)[label]
        scale = 0 if label < 0 else 1 if weight is None else weight[label]
        losses.append(-alpha * (1 - p) ** gamma * p.log() * scale)
    return torch.stack(losses)


def reduce(loss, reduction):
    """mmcv's mean is over rows, not elements."""
    return {"none": loss, "mean": loss.sum() / len(loss), "sum": loss.sum()}[reduction]


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("gamma", GAMMAS)
def test_sigmoid(gamma, weighted, reduction):
    logits = torch.randn(6, 3, dtype=torch.float64).mul(3).requires_grad_()
    target = torch.tensor([0, 1, 2, 3, 1, 3])  # 3 is background
    weight = torch.rand(3, dtype=torch.float64) if weighted else None
    loss = sigmoid_focal_loss(logits, target, gamma, 0.3, weight, reduction)
    expected = textbook_sigmoid(logits, target, gamma, 0.3, weight)
    expected = reduce(expected, reduction)
    torch.testing.assert_close(loss, expected)
    upstream = torch.rand_like(loss)
    torch.testing.assert_close(
        torch.autograd.grad(loss, logits, upstream),
        torch.autograd.grad(expected, logits, upstream),
    )


def test_sigmoid_stays_exact_at_large_logits():
    logits = torch.tensor([[90.0, -90.0]], requires_grad=True)
    wrong = sigmoid_focal_loss(logits, torch.tensor([1]), 2.0, 0.25, None, "none")
    assert wrong.tolist() == [[0.75 * 90, 0.25 * 90]]
    wrong.sum().backward()
    assert logits.grad.tolist() == [[0.75, -0.25]]


# mmcv itself cannot differentiate reduction='none' here (shapes [N] and [N, C]).
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("gamma", GAMMAS)
def test_softmax(gamma, weighted, reduction):
    logits = torch.randn(6, 3, dtype=torch.float64).mul(3).requires_grad_()
    target = torch.tensor([0, 1, 2, -1, 1, -1])  # -1 is ignored
    weight = torch.rand(3, dtype=torch.float64) if weighted else None
    loss = softmax_focal_loss(logits, target, gamma, 0.3, weight, reduction)
    expected = reduce(textbook_softmax(logits, target, gamma, 0.3, weight), reduction)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        torch.autograd.grad(loss, logits), torch.autograd.grad(expected, logits)
    )


@pytest.mark.parametrize("gamma", GAMMAS)
def test_softmax_of_certain_predictions_is_finite(gamma):
    logits = torch.tensor([[200.0, 0.0], [200.0, 0.0]], requires_grad=True)
    softmax_focal_loss(logits, torch.tensor([0, 1]), gamma, 0.25).backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("loss_type", [SigmoidFocalLoss, SoftmaxFocalLoss])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(loss_type, dtype):
    logits = torch.randn(8, 4).to(dtype)
    target = torch.randint(4, (8,))
    loss_function = loss_type(2.0, 0.25, reduction="sum")
    half, full = logits.clone().requires_grad_(), logits.float().requires_grad_()
    loss, exact = loss_function(half, target), loss_function(full, target)
    loss.backward()
    exact.backward()
    assert loss.dtype == dtype
    assert loss.item() == pytest.approx(exact.item(), rel=0.03)
    torch.testing.assert_close(half.grad.float(), full.grad, atol=0.03, rtol=0.03)


@pytest.mark.parametrize("loss_function", [sigmoid_focal_loss, softmax_focal_loss])
def test_no_rows(loss_function):
    logits = torch.zeros(0, 4, requires_grad=True)
    loss = loss_function(logits, torch.zeros(0, dtype=torch.long), 2.0, 0.25, None, "sum")
    loss.backward()
    assert loss == 0
