import copy

import pytest

from lbwdet.deploy.lower.cutting import cut_levels, read_align, sample_of
from lbwdet.errors import ConfigError


def test_settings_of_an_extractor(tiny):
    extractor = tiny.model.roi_head.bbox_roi_extractor
    align = read_align("here", extractor)
    assert (align.strides, align.size, align.finest_scale) == ((4, 8, 16, 32), 7, 56.0)
    assert sample_of(extractor, align).shape == (2, 16, 7, 7)


def test_levels_that_any_region_is_cut_from(tiny, two_stage):
    assert cut_levels(tiny.model.roi_head) == 4
    model = two_stage("MaskRCNN", mask={})
    model.roi_head.mask_roi_extractor = copy.deepcopy(model.roi_head.mask_roi_extractor)
    model.roi_head.mask_roi_extractor.featmap_strides = [4, 8, 16, 32, 64]
    assert cut_levels(model.roi_head) == 5


def test_pixels_that_are_not_aligned(tiny):
    extractor = copy.deepcopy(tiny.model.roi_head.bbox_roi_extractor)
    extractor.roi_layers[2].aligned = False
    with pytest.raises(
        ConfigError, match=r"here: RoIAlign\(pool_mode='avg', aligned=False\) cannot"
    ):
        read_align("here", extractor)
