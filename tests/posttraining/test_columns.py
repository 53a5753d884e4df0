import pytest
import torch
from torch import nn

from lbwdet.posttraining.columns import ProbedMatrix, matrix_of

LAYERS = [
    (nn.Conv2d(6, 8, 3, 2, 1, dilation=2, groups=2), (2, 6, 17, 13)),
    (nn.Conv2d(6, 6, 3, padding="same", groups=6), (2, 6, 7, 9)),
    (nn.Conv1d(4, 6, 3, padding=2, padding_mode="reflect"), (3, 4, 11)),
    (nn.Conv3d(2, 4, (3, 2, 1), (2, 1, 1), (1, 0, 2)), (2, 2, 5, 6, 7)),
    (nn.ConvTranspose2d(6, 8, 4, 2, 1, groups=2), (2, 6, 5, 7)),
    (nn.ConvTranspose2d(4, 6, 3, 3, 1, output_padding=1, dilation=2), (2, 4, 5, 7)),
    (nn.ConvTranspose1d(4, 6, 2, 2, bias=False), (2, 4, 5)),
    (nn.Linear(5, 7), (2, 3, 5)),
]


@pytest.mark.parametrize("most", [20, 10**6])
@pytest.mark.parametrize("layer, shape", LAYERS, ids=lambda value: str(value)[:50])
@torch.no_grad()
def test_rows_times_columns_are_the_output(layer, shape, most):
    x = torch.randn(shape)
    output = layer(x)
    matrix = matrix_of(layer, (x,), output)
    rows, columns = matrix.rows(layer.weight), matrix.columns((x,), most)
    assert columns.shape[-1] <= max(most, 20)
    wanted = rows @ columns
    if layer.bias is not None:
        wanted = wanted + layer.bias.reshape(len(wanted), -1, 1)
    assert torch.allclose(wanted, matrix.outputs(output, most), atol=1e-5)
    assert torch.equal(matrix.weight(rows), layer.weight)


@torch.no_grad()
def test_a_layer_that_moves_its_taps_is_asked_what_it_reads():
    class Rolled(nn.Conv2d):
        def forward(self, x):
            return super().forward(x.roll(1, -1))

    layer, x = Rolled(4, 6, 3, padding=1, groups=2), torch.randn(2, 4, 5, 6)
    matrix = matrix_of(layer, (x,), layer(x))
    assert isinstance(matrix, ProbedMatrix)
    wanted = matrix.rows(layer.weight) @ matrix.columns((x,), 100)
    wanted = wanted + layer.bias.reshape(2, -1, 1)
    assert torch.allclose(wanted, matrix.outputs(layer(x), 100), atol=1e-5)
    assert layer.weight.shape == (6, 2, 3, 3) and layer.bias is not None


@torch.no_grad()
def test_a_layer_that_changes_its_weight_is_no_matrix():
    class Standardized(nn.Conv2d):
        def forward(self, x):
            weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
            return self._conv_forward(x, weight / weight.std(), self.bias)

    layer, x = Standardized(4, 6, 3), torch.randn(1, 4, 5, 6)
    assert matrix_of(layer, (x,), layer(x)) is None
    attention = nn.MultiheadAttention(4, 2)
    tokens = torch.randn(3, 1, 4)
    assert matrix_of(attention, (tokens,) * 3, attention(tokens, tokens, tokens)) is None
