import numpy as np

from lbwdet.deploy.runtime.context import Context, LayerNumbers, Run
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.testing import random_weight

IMAGE = np.zeros((30, 40, 3), np.uint8)


def test_centered():
    run = Run({"x": Quantization(1.0, zero_point=10)}, {}, IMAGE)
    run.values["x"] = np.array([0, 10, 255], np.uint8)
    run.values["real"] = np.array([0.25, -3], np.float32)
    found = run.centered("x")
    assert found.dtype == np.float32 and found.tolist() == [-10, 0, 245]
    assert run.centered("real") is run.values["real"]


def test_stored():
    run = Run({"x": Quantization(0.5, zero_point=10, maximum=20)}, {}, IMAGE)
    t = np.array([-11, -1.5, 0, 2.5, 11], np.float32)
    found = run.store("x", t)
    assert found.dtype == np.uint8 and found.tolist() == [0, 8, 10, 12, 20]
    assert run.store("x", t, positive=True).tolist() == [10, 10, 10, 12, 20]
    assert run.store("real", t) is t
    positive = run.store("real", t, positive=True)
    assert positive.dtype == np.float32 and positive.tolist() == [0, 0, 0, 2.5, 11]


def test_scales_and_zero_points():
    context = Context({"x": Quantization(0.5, zero_point=10)}, {})
    assert (context.scale("x"), context.zero_point("x")) == (0.5, 10)
    assert (context.scale("real"), context.zero_point("real")) == (1.0, 0)


def test_the_ratio_of_two_scales():
    context = Context({"x": Quantization(0.5), "y": Quantization(1.5)}, {})
    assert context.ratio("x", "y") == np.float32(1 / 3)
    assert context.ratio("real", "y").dtype == np.float32


def test_an_image_that_was_not_resized_yet():
    assert Run({}, {}, IMAGE).resized == (30, 40)


def test_numbers_of_a_layer():
    weight = random_weight(np.random.default_rng(0), (4, 3, 3, 3), 4, "dense", "channel")
    for numbers in (LayerNumbers.integer(weight), LayerNumbers.real(weight)):
        found = numbers.factors * numbers.scale.reshape(-1, 1, 1, 1)
        assert np.array_equal(found, weight.dequantize())
        assert numbers.gain is weight.gain and numbers.bias is weight.bias
    assert LayerNumbers.integer(weight).factors.dtype == np.int8


def test_reals_keep_what_integers_drop():
    weight = random_weight(np.random.default_rng(0), (4, 16, 3, 3), 6, "paper")
    assert weight.integers().dropped > 0
    real, integer = LayerNumbers.real(weight), LayerNumbers.integer(weight)
    assert np.array_equal(real.factors, weight.dequantize())
    assert np.count_nonzero(integer.factors) < np.count_nonzero(real.factors)
