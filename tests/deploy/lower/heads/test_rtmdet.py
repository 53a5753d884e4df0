import pytest
from mmdet.models.task_modules import AnchorGenerator

from lbwdet.deploy.calibration import calibrate
from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.artifact import Artifact
from lbwdet.deploy.runtime.native import NativeEngine
from lbwdet.deploy.runtime.native_library import library_path
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine
from lbwdet.deploy.runtime.validate import check_artifact
from lbwdet.errors import ConfigError

SILU = dict(type="SiLU")


def rtmdet(one_stage, **head):
    """RTMDet with 4 to 64 channels, with its own backbone, neck and preprocessing."""
    model = one_stage(
        {
            "detector": "RTMDet",
            "data_preprocessor.pad_size_divisor": 1,
            "backbone": dict(
                _delete_=True,
                type="CSPNeXt",
                deepen_factor=0.167,
                widen_factor=0.0625,
                channel_attention=True,
                act_cfg=SILU,
            ),
            "neck": dict(
                _delete_=True,
                type="CSPNeXtPAFPN",
                in_channels=[16, 32, 64],
                out_channels=16,
                num_csp_blocks=1,
                act_cfg=SILU,
            ),
            "test_cfg": dict(
                _delete_=True,
                nms_pre=30000,
                min_bbox_size=0,
                score_thr=0.001,
                nms=dict(type="nms", iou_threshold=0.65),
                max_per_img=300,
            ),
        },
        **dict(
            type="RTMDetSepBNHead",
            feat_channels=16,
            stacked_convs=2,
            anchor_generator=dict(type="MlvlPointGenerator", offset=0, strides=[8, 16, 32]),
            bbox_coder=dict(type="DistancePointBBoxCoder"),
            with_objectness=False,
            norm_cfg=dict(type="BN"),
            act_cfg=SILU,
            loss_bbox=dict(type="GIoULoss", loss_weight=2.0),
            loss_cls=dict(type="QualityFocalLoss", use_sigmoid=True, beta=2.0, loss_weight=1.0),
        )
        | head,
    )
    for predictor in model.bbox_head.rtm_reg:
        predictor.bias.data.fill_(1.0)  # most boxes have their sides around their points
    return model


def padded(tiny):
    load, resize, pack = tiny.pipeline
    pad = dict(type="Pad", size=(96, 96), pad_val=dict(img=(114, 114, 114)))
    return [load, dict(resize, scale=(96, 96)), pad, pack]


@pytest.mark.parametrize("exponential", [False, True])
@pytest.mark.filterwarnings("ignore:.*torch.cuda.amp.autocast:FutureWarning")
def test_equals_mmdetection_and_the_engines_each_other(whole, tiny, one_stage, exponential):
    """Without a divisor: its Pad makes every image 96 x 96."""
    model, pipeline = rtmdet(one_stage, exp_on_reg=exponential), padded(tiny)
    lowered = lower(model, pipeline)
    whole.check(model, pipeline, lowered, tiny.image)
    kinds = {type(operation).__name__ for operation in lowered.program.operations}
    assert {"GlobalAveragePool", "Multiply", "Concat", "Upsample", "Lookup"} <= kinds
    preprocess, candidates = lowered.program.operations[0], lowered.program.operations[-4]
    assert preprocess.pad_size == (96, 96) and preprocess.size_divisor == 1
    half = 8.0 if exponential else 0.0
    assert candidates.base_anchors[1] == ((-half, -half, half, half),)
    assert candidates.coder.exponential is exponential

    program = calibrate(lowered.program, lowered.weights, [("noise", tiny.image)])
    check_artifact(program, lowered.weights, ("red", "green"))
    artifact = Artifact(program, lowered.weights, ("red", "green"), {})
    if library_path() is None:
        return
    with NativeEngine(artifact) as engine:
        for image in (tiny.image, tiny.image[:, :31], tiny.image[:20]):
            for found, expected in zip(
                engine.detect(image), ReferenceEngine(artifact).detect(image), strict=True
            ):
                assert len(found) > 5 and found.tobytes() == expected.tobytes()


def test_convolutions_of_all_levels_have_a_norm_each(tiny, one_stage):
    lowered = lower(rtmdet(one_stage), padded(tiny))
    shared = [name for name in lowered.weights if ".0.conv" in name and "cls_convs" in name]
    assert len(shared) == 3
    first, *others = (lowered.weights[name] for name in shared)
    for other in others:
        assert (other.codes == first.codes).all() and not (other.gain == first.gain).all()


def test_anchors_are_no_points(tiny, one_stage, monkeypatch):
    model = rtmdet(one_stage)
    anchors = AnchorGenerator(strides=[8], ratios=[1.0], scales=[4])
    monkeypatch.setattr(model.bbox_head, "prior_generator", anchors)
    with pytest.raises(ConfigError, match="anchor_generator: AnchorGenerator cannot be lowered"):
        lower(model, padded(tiny))
