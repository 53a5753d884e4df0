import pytest
import torch

from lbwdet.compat.operators.numerics import gradients, widen


@pytest.mark.parametrize(
    ("given", "wide"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
        (torch.int64, torch.float32),
    ],
)
def test_widen(given, wide):
    assert widen(torch.ones(2, dtype=given)).dtype == wide


def test_gradients_work_where_autograd_is_off():
    with torch.no_grad():
        by_a, by_b = gradients(torch.mul, (torch.tensor(3.0), torch.tensor(5.0)), torch.tensor(2.0))
    assert (by_a, by_b) == (10, 6)
