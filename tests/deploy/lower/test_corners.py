import pytest
import torch
from mmdet.models.layers import AdaptivePadding, PatchEmbed, PatchMerging
from torch import nn
from torch.nn import functional as F

from lbwdet.deploy.lower.corners import whole_patches
from lbwdet.deploy.runtime.shapes import Side


class Patches(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = PatchEmbed(3, 8, kernel_size=4, stride=4)
        self.merge = nn.ModuleList([PatchMerging(8, 8), PatchMerging(8, 8)])

    def forward(self, image):
        tokens, size = self.embed(image)
        for merge in self.merge:
            tokens, size = merge(tokens, size)
        return tokens


def pads(monkeypatch, sides, image):
    """What is added to the maps that are not of whole patches, and the patches."""
    added = []
    pad = F.pad
    monkeypatch.setattr(F, "pad", lambda x, given: added.append(given) or pad(x, given))
    torch.manual_seed(0)
    model = Patches().eval()
    with whole_patches(sides, image.shape[2:]), torch.no_grad():
        found = model(image)
    return added, found, model


def test_nothing_is_added_to_whole_patches(monkeypatch):
    image = torch.randn(1, 3, 32, 48)
    assert not pads(monkeypatch, (Side(16), Side(0, 48)), image)[0]
    assert pads(monkeypatch, (Side(8), Side(0, 48)), image)[0] == [[0, 0, 0, 1]]
    assert pads(monkeypatch, (Side(16, 8), Side(16)), image)[0] == [[0, 0, 0, 1]]


@pytest.mark.parametrize("height", range(29, 37))
def test_patches_are_those_of_mmdetection(monkeypatch, height):
    image = torch.randn(1, 3, height, 41)
    added, found, model = pads(monkeypatch, (Side(1), Side(1)), image)
    assert added == [[0, 3, 0, 3], [0, 1, 0, 1], [0, 1, 0, 1]]
    with torch.no_grad():  # which adds what this image needs
        assert torch.equal(found, model(image))


def test_of_images_of_one_size_what_is_needed(monkeypatch):
    added, _, _ = pads(monkeypatch, (Side(0, 30), Side(0, 32)), torch.randn(1, 3, 30, 32))
    assert added == [[0, 0, 0, 3]]


def test_other_paddings_stay():
    x = torch.randn(1, 2, 5, 5)
    for padding in (AdaptivePadding(3, 2), AdaptivePadding(2, 2, padding="same")):
        expected = padding(x)
        with whole_patches((Side(1), Side(1)), (5, 5)):
            assert torch.equal(padding(x), expected)
