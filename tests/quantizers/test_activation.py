import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lbwdet.errors import ConfigError
from lbwdet.quantizers import (
    ALPHA_GRADIENTS,
    ESTIMATORS,
    ActivationSettings,
    NonFiniteActivationError,
    quantized_relu,
    uniform_quantize,
)
from lbwdet.quantizers.activation import (
    check_finite_activation,
    relu_codes,
    top_code,
    uniform_codes,
)

BIT_WIDTHS = range(1, 9)


def sigma(x: float, alpha: float, bit_width: int) -> float:
    """The definition, by counting up the steps."""
    top = 2**bit_width - 1
    level = 0
    while level < top and x > level * alpha:
        level += 1
    return level * alpha


def gradients(function, x, alpha, upstream, *settings):
    x, alpha = x.clone().requires_grad_(), alpha.clone().requires_grad_()
    out = function(x, alpha, *settings)
    out.backward(upstream)
    return out.detach(), x.grad, alpha.grad


@pytest.fixture
def data():
    """Inputs in all three regions at every bit width, none of them on a jump."""
    return torch.randn(500) * 3, torch.tensor(0.37), torch.randn(500)


class TestQuantizedReLU:
    @pytest.mark.parametrize("bit_width", BIT_WIDTHS)
    def test_is_the_stated_staircase(self, bit_width):
        alpha = 0.25  # exact, so that the jumps at its multiples are, too
        x = torch.arange(-16, 4 * 2**bit_width + 40) / 16
        expected = torch.tensor([sigma(value, alpha, bit_width) for value in x.tolist()])
        assert torch.equal(quantized_relu(x, torch.tensor(alpha), bit_width), expected)

    @pytest.mark.parametrize("bit_width", BIT_WIDTHS)
    @pytest.mark.parametrize("ste", ESTIMATORS)
    def test_gradient_of_the_input(self, data, bit_width, ste):
        x, alpha, upstream = data
        _, grad, _ = gradients(quantized_relu, x, alpha, upstream, bit_width, ste)
        above = x > alpha * (2**bit_width - 1)
        factor = {
            "clipped_relu": (x > 0) & ~above,
            "relu": x > 0,
            "identity": torch.ones_like(x),
        }[ste]
        assert torch.equal(grad, upstream * factor)

    @pytest.mark.parametrize("bit_width", BIT_WIDTHS)
    @pytest.mark.parametrize("alpha_gradient", ALPHA_GRADIENTS)
    def test_gradient_of_alpha(self, data, bit_width, alpha_gradient):
        x, alpha, upstream = data
        *_, grad = gradients(
            quantized_relu, x, alpha, upstream, bit_width, "clipped_relu", alpha_gradient
        )
        top = 2**bit_width - 1
        level = [round(sigma(v, alpha.item(), bit_width) / alpha.item()) for v in x.tolist()]
        slope = torch.zeros_like(x)
        for index, value in enumerate(x.tolist()):
            if value > alpha.item() * top:
                slope[index] = top
            elif value > 0 and alpha_gradient != "two_valued":
                middle = 2 ** (bit_width - 1)
                slope[index] = level[index] if alpha_gradient == "exact" else middle
        torch.testing.assert_close(grad, (upstream * slope).sum(), rtol=1e-4, atol=1e-3)

    @pytest.mark.parametrize("bit_width", BIT_WIDTHS)
    def test_exact_gradient_of_alpha_is_the_difference_quotient(self, bit_width):
        step = 1e-6
        x = torch.randn(200).double() * 2
        alpha = 0.37
        distance = (x / alpha - (x / alpha).round()).abs()
        x = x[distance > 1e-3]  # no jump within the step
        upstream = torch.randn(x.numel())
        *_, grad = gradients(
            quantized_relu, x.float(), torch.tensor(alpha), upstream, bit_width, "relu", "exact"
        )
        low, high = (
            torch.tensor([sigma(v, alpha + s, bit_width) for v in x.tolist()], dtype=torch.float64)
            for s in (-step, step)
        )
        expected = (upstream * (high - low) / (2 * step)).sum()
        assert grad.item() == pytest.approx(expected.item(), rel=1e-3, abs=1e-3)

    def test_three_values_are_the_mean_over_the_levels(self):
        alpha, ones = torch.tensor(0.5), torch.ones(15)
        x = (torch.arange(15) + 0.5) * alpha  # one value in each step of 4 bits
        grads = [
            gradients(quantized_relu, x, alpha, ones, 4, "relu", choice)[2]
            for choice in ("exact", "three_valued")
        ]
        assert torch.equal(*grads)

    def test_only_what_is_needed_is_differentiated(self):
        x = torch.randn(4, requires_grad=True)
        quantized_relu(x, torch.tensor(0.5), 4).sum().backward()
        assert x.grad is not None
        alpha = torch.tensor(0.5, requires_grad=True)
        quantized_relu(x.detach(), alpha, 4).sum().backward()
        assert alpha.grad is not None


class TestUniform:
    @pytest.mark.parametrize("bit_width", BIT_WIDTHS)
    def test_takes_the_nearest_level(self, bit_width):
        zero_point = 2 ** (bit_width - 1)
        alpha = torch.tensor(0.3)
        x = torch.randn(400) * 0.3 * zero_point
        levels = (torch.arange(2**bit_width) - zero_point) * alpha
        nearest = (x[:, None] - levels).abs().min(1).values
        out = uniform_quantize(x, alpha, zero_point, bit_width)
        torch.testing.assert_close((x - out).abs(), nearest)
        assert torch.isin(out, levels).all()

    @pytest.mark.parametrize("ste", ESTIMATORS)
    @pytest.mark.parametrize("bit_width, zero_point", [(2, 1), (4, 3), (8, 120)])
    def test_gradients_are_those_of_rounding_taken_for_the_identity(
        self, data, bit_width, zero_point, ste
    ):
        x, alpha, upstream = data
        x = x * 2**bit_width / 8

        def with_detached_rounding(x, alpha):
            ratio = (x / alpha).clamp(-zero_point, 2**bit_width - 1 - zero_point)
            return alpha * (ratio + (ratio.round() - ratio).detach())

        expected = gradients(with_detached_rounding, x, alpha, upstream)
        out, grad_x, grad_alpha = gradients(
            uniform_quantize, x, alpha, upstream, zero_point, bit_width, ste
        )
        torch.testing.assert_close(out, expected[0])
        torch.testing.assert_close(grad_x, expected[1] if ste == "clipped_relu" else upstream)
        torch.testing.assert_close(grad_alpha, expected[2], rtol=1e-3, atol=1e-3)


@given(
    bit_width=st.integers(1, 8),
    alpha=st.floats(2.0**-20, 2.0**20, width=32),
    shift=st.integers(-40, 40),
)
def test_zero_stays_zero_and_codes_stay_in_range(bit_width, alpha, shift):
    alpha = torch.tensor(alpha)
    top = top_code(bit_width)
    x = torch.tensor([0.0, 1.0, -1.0, 2.0**shift, -(2.0**shift)])
    for codes, zero_point in (
        (relu_codes(x, alpha, bit_width), 0),
        *((uniform_codes(x, alpha, z, bit_width), z) for z in (1, (top + 1) // 2, top)),
    ):
        assert codes[0] == zero_point
        assert bool(((codes >= 0) & (codes <= top) & (codes == codes.round())).all())


@given(n=st.integers(-(2**20), 2**20), s=st.integers(1, 10))
def test_integer_rules_for_ceil_in_the_docstring(n, s):
    expected = -((-n) // 2**s)
    assert (n + 2**s - 1) >> s == expected
    assert ((n + 2 ** (s - 1) - 1) + 2 ** (s - 1)) >> s == expected


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("function", [quantized_relu, lambda x, a, b: uniform_quantize(x, a, 3, b)])
def test_other_types_and_empty_tensors(dtype, function):
    alpha = torch.tensor(0.5, requires_grad=True)
    for shape in ((3, 2), (0, 4)):
        x = torch.ones(shape, dtype=dtype, requires_grad=True)
        out = function(x, alpha, 3)
        out.sum().backward()
        assert out.dtype == x.grad.dtype == dtype and out.shape == shape
        assert torch.equal(out.detach(), x.detach())


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(bit_width=9), "activation bit_width=9 is not supported; choose 1 to 8"),
        (dict(bit_width=0), "bit_width=0"),
        (dict(bit_width=True), "bit_width=True"),
        (dict(signed_bit_width=1), "signed_bit_width=1 is not supported; choose 2 to 8"),
        (dict(symmetric="no"), "symmetric='no': choose True or False"),
        (dict(ste="tanh"), "ste='tanh' is not known; choose one of clipped_relu, relu, identity"),
        (dict(alpha_gradient="mean"), "choose one of three_valued, two_valued, exact"),
    ],
)
def test_unknown_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        ActivationSettings(**settings)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_non_finite_values_are_counted(value):
    x = torch.zeros(2, 3)
    check_finite_activation(x, "neck.conv")
    check_finite_activation(x[:0], "neck.conv")
    x[1, 1] = value
    with pytest.raises(NonFiniteActivationError, match=r"^neck\.conv: 1 of 6 values of its input"):
        check_finite_activation(x, "neck.conv")
