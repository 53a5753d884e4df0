"""A small network with what is difficult: shared layers, depthwise ones, some not reached."""

import pytest
import torch
from torch import Tensor, nn


class SmallNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1, bias=False)
        self.stem_norm = nn.BatchNorm2d(16)
        self.depthwise = nn.Conv2d(16, 16, 3, 1, 1, groups=16, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(16)
        self.up = nn.ConvTranspose2d(16, 8, 2, 2)
        self.shared = nn.Conv2d(8, 8, 3, padding=1)
        self.last = nn.Linear(8, 5)
        self.unused = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem_norm(self.stem(x)).relu()
        x = self.up(self.depthwise_norm(self.depthwise(x)).relu())
        levels = [self.shared(level).relu() for level in (x, x[:, :, ::2, ::2])]
        return [self.last(level.mean((2, 3))) for level in levels]


@pytest.fixture
def net() -> SmallNet:
    made = SmallNet().eval()
    for part in made.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.1, 0.3)
            part.weight.data.uniform_(0.5, 1.5)
    return made


@pytest.fixture
def images() -> list[Tensor]:
    return [torch.randn(2, 3, 32, 32) for _ in range(6)]


@pytest.fixture
def distance(images):
    """Mean squared distance of two networks' outputs, relative to the first one's variance."""

    @torch.no_grad()
    def of(reference: nn.Module, other: nn.Module) -> float:
        pairs = [(a, b) for x in images for a, b in zip(reference(x), other(x), strict=True)]
        return sum(float((a - b).square().mean() / a.var()) for a, b in pairs) / len(pairs)

    return of
