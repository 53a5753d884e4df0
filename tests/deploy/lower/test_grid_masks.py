import numpy as np
import torch

from lbwdet.deploy.lower.grid_masks import above, resized_features, through


def test_the_least_number_above():
    half = np.float32(0.5)
    assert np.float32(above(0.5)) > half and np.float32(above(0.5)) - half < 1e-7
    assert above(0.0) > 0 and np.float32(above(0.0)) > 0


def test_features_as_solo_has_them(grid_masks):
    model = grid_masks("SOLO", type="SOLOHead")
    features = model.extract_feat(torch.randn(1, 3, 64, 96))
    found = resized_features(features)
    expected = model.mask_head.resize_feats(features)
    assert len(found) == 3 and all(map(torch.equal, found, expected))
    layers = model.mask_head.cls_convs
    assert torch.equal(through(layers, found[0]), layers[1](layers[0](found[0])))
