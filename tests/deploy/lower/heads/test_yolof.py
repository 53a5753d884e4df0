from lbwdet.deploy.lower import lower


def test_equals_mmdetection_and_runs_in_integers(whole, tiny, one_stage):
    model = one_stage(
        {
            "detector": "YOLOF",
            "backbone.out_indices": (3,),
            "neck": dict(
                _delete_=True,
                type="DilatedEncoder",
                in_channels=64,
                out_channels=16,
                block_mid_channels=8,
                num_residual_blocks=4,
                block_dilations=[2, 4, 6, 8],
            ),
        },
        type="YOLOFHead",
        num_cls_convs=1,
        num_reg_convs=1,
        anchor_generator=dict(
            type="AnchorGenerator", ratios=[1.0], scales=[1, 2, 4, 8, 16], strides=[32]
        ),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder", add_ctr_clamp=True, ctr_clamp=32),
    )
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    candidates = lowered.program.operations[-4]
    assert candidates.factor_first and candidates.coder.max_shift == 32
    assert candidates.strides == (32,) and len(candidates.base_anchors[0]) == 5
