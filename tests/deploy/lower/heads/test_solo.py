import pytest

from lbwdet.deploy.lower import lower

HEADS = {
    "SOLOHead": dict(cls_down_index=0),
    "DecoupledSOLOHead": dict(cls_down_index=1),
    "DecoupledSOLOLightHead": dict(dcn_cfg=None),
}


@pytest.mark.parametrize("kind", HEADS)
def test_equals_mmdetection_and_the_engines_each_other(whole, tiny, grid_masks, kind):
    model = grid_masks("SOLO", type=kind, **HEADS[kind])
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    masks = [op for op in lowered.program.operations if type(op).__name__ == "SelectedMasks"]
    assert len(masks) == 2 and all(bool(op.others) == (kind != "SOLOHead") for op in masks)
    whole.check_engines(lowered, tiny.image)
