import torch

from lbwdet.posttraining.blocks import LARGEST, positions, round_blocks
from lbwdet.posttraining.rounding import Levels
from lbwdet.posttraining.search import Search, choose_levels
from lbwdet.quantizers import build_quantizer

QUANTIZER = build_quantizer(4, "dense")


def rounded(weight, columns, wanted):
    top = QUANTIZER.quantize(weight).scale.expand(1, len(weight), 1)

    def choose(target, moments):
        levels = Levels(QUANTIZER.magnitudes)
        relative, _ = choose_levels(target, moments, levels, top, (), Search())
        return relative * top

    return round_blocks(weight, columns, wanted, 0.01, choose)


def test_blocks_lose_little(monkeypatch):
    columns = torch.randn(96, 96) @ torch.randn(96, 2000)
    weight = torch.randn(12, 96)
    wanted = weight @ columns

    def error(found):
        return float((wanted - found @ columns).square().sum() / wanted.square().sum())

    whole = error(rounded(weight, columns, wanted))
    monkeypatch.setattr("lbwdet.posttraining.blocks.LARGEST", 32)
    parts = rounded(weight, columns, wanted)
    assert error(parts) < 2 * whole
    assert whole < 0.5 * error(QUANTIZER.fake_quantize(weight))
    assert torch.equal(QUANTIZER.fake_quantize(parts), parts)


def test_memory_is_bounded():
    for inputs in (LARGEST + 1, 12_544, 100_000):
        assert 4 * inputs * positions(inputs) <= 400_000_000
    assert positions(10**9) == 1
