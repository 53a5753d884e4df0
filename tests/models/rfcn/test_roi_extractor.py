import pytest
import torch

from lbwdet.errors import ConfigError
from lbwdet.models import PSRoIExtractor

K, DIM = 3, 2


def position_maps(height: int, width: int) -> torch.Tensor:
    """Maps whose every pixel holds the number of its channel."""
    numbers = torch.arange(DIM * K * K, dtype=torch.float32)
    return numbers[None, :, None, None].expand(1, -1, height, width).contiguous()


@pytest.mark.parametrize("pooling", ["align", "pool"])
def test_each_cell_is_read_from_its_own_map(pooling):
    extractor = PSRoIExtractor(featmap_stride=4, grid_size=K, pooling=pooling)
    rois = torch.tensor([[0.0, 8, 8, 56, 56]])
    (pooled,) = extractor((position_maps(16, 16),), rois)
    expected = torch.arange(DIM * K * K, dtype=torch.float32).view(1, DIM, K, K)
    torch.testing.assert_close(pooled, expected)


def test_cells_lie_row_by_row_and_the_stride_counts():
    maps = torch.zeros(1, K * K, 12, 12)
    maps[..., 8:, :4] = 1  # rows 8 to 11, columns 0 to 3: the lower left ninth
    extractor = PSRoIExtractor(featmap_stride=4, grid_size=K)
    (pooled,) = extractor((maps,), torch.tensor([[0.0, 2, 2, 50, 50]]))
    expected = torch.zeros(K, K)
    expected[2, 0] = 1
    assert pooled[0, 0, 2, 0] > 0.8
    assert (pooled[0, 0] - expected).abs().max() < 0.2


def test_a_shift_below_a_pixel_is_seen_by_align_alone():
    ramp = torch.arange(16.0).expand(1, K * K, 16, 16).contiguous()
    rois = torch.tensor([[0.0, 64, 64, 160, 160], [0.0, 67, 64, 163, 160]])  # by 3 of 16 pixels
    means = {
        pooling: PSRoIExtractor(16, K, pooling)((ramp,), rois)[0].mean(dim=(1, 2, 3))
        for pooling in ("align", "pool")
    }
    torch.testing.assert_close(means["align"][1] - means["align"][0], torch.tensor(3 / 16))
    assert means["pool"][1] == means["pool"][0]


def test_images_of_a_batch_are_told_apart():
    maps = torch.stack([torch.zeros(K * K, 8, 8), torch.ones(K * K, 8, 8)])
    rois = torch.tensor([[1.0, 8, 8, 40, 40], [0.0, 8, 8, 40, 40]])
    (pooled,) = PSRoIExtractor(8, K)((maps,), rois)
    assert pooled.mean(dim=(1, 2, 3)).tolist() == [1, 0]


def test_no_region_and_bfloat16():
    maps = torch.randn(1, DIM * K * K, 8, 8, requires_grad=True)
    (pooled,) = PSRoIExtractor(8, K)((maps,), torch.zeros(0, 5))
    assert pooled.shape == (0, DIM, K, K)
    (pooled,) = PSRoIExtractor(8, K)((maps.bfloat16(),), torch.tensor([[0.0, 0, 0, 32, 32]]))
    assert pooled.dtype == torch.float32
    pooled.sum().backward()
    assert maps.grad.abs().sum() > 0


def test_an_unknown_pooling_is_refused():
    with pytest.raises(ConfigError, match="pooling='max' is not known; choose one of align, pool"):
        PSRoIExtractor(pooling="max")
