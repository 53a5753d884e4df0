import copy

import pytest

from lbwdet.deploy.lower import lower
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


def test_pixels_that_are_not_aligned(tiny, two_stage, whole):
    model = two_stage()
    for layer in model.roi_head.bbox_roi_extractor.roi_layers:
        layer.aligned = False
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)


def test_only_means_are_pooled(tiny):
    extractor = copy.deepcopy(tiny.model.roi_head.bbox_roi_extractor)
    extractor.roi_layers[2].pool_mode = "max"
    with pytest.raises(ConfigError, match=r"here: RoIAlign\(pool_mode='max'\) cannot"):
        read_align("here", extractor)
