import numpy as np
import pytest
from mmdet.models.task_modules import AnchorGenerator

from lbwdet.deploy.calibration import calibrate
from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.artifact import Artifact
from lbwdet.deploy.runtime.native import NativeEngine
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine
from lbwdet.deploy.runtime.validate import check_artifact
from lbwdet.errors import ConfigError


@pytest.fixture(scope="module")
def yolox(one_stage):
    """YOLOX with 4 to 64 channels, with its own backbone and neck."""
    model = one_stage(
        {
            "detector": "YOLOX",
            "backbone": dict(
                _delete_=True, type="CSPDarknet", deepen_factor=0.34, widen_factor=0.0625
            ),
            "neck": dict(
                _delete_=True,
                type="YOLOXPAFPN",
                in_channels=[16, 32, 64],
                out_channels=16,
                num_csp_blocks=1,
            ),
            "test_cfg": dict(
                _delete_=True, score_thr=0.3, nms=dict(type="nms", iou_threshold=0.65)
            ),
        },
        type="YOLOXHead",
        feat_channels=16,
    )
    for predictor in model.bbox_head.multi_level_conv_reg:  # sides are exponentials
        predictor.weight.data.mul_(0.05)
    return model


@pytest.mark.filterwarnings("ignore:.*torch.cuda.amp.autocast:FutureWarning")
def test_equals_mmdetection_and_runs_in_integers(whole, tiny, yolox):
    lowered = lower(yolox, tiny.pipeline)
    whole.check(yolox, tiny.pipeline, lowered, tiny.image)
    kinds = {type(operation).__name__ for operation in lowered.program.operations}
    assert {"Slice", "Concat", "MaxPool", "Upsample"} <= kinds
    assert "Add" not in kinds  # a residual each
    assert not kinds & {"Lookup", "Multiply"}  # SiLU is not sigmoid and a product
    functions = [op.function for op in lowered.program.operations if isinstance(op, Conv)]
    assert set(functions) == {"silu", "identity"}
    candidates = lowered.program.operations[-4]
    assert candidates.best_class and candidates.factor_first and not candidates.coder.clip
    assert candidates.base_anchors[0] == ((-4.0, -4.0, 4.0, 4.0),)
    assert np.float32(0.3) > np.float32(candidates.score_threshold) > np.float32(0.2999999)

    program = calibrate(lowered.program, lowered.weights, [("noise", tiny.image)])
    check_artifact(program, lowered.weights, ("red", "green"))
    engine = ReferenceEngine(Artifact(program, lowered.weights, ("red", "green"), {}))
    found = engine.detect(tiny.image)[1]
    expected = whole.in_reals(lowered, tiny.image)[1][1]
    assert abs(len(found) - len(expected)) < 0.2 * len(expected)
    assert np.abs(np.sort(found)[-5:] - np.sort(expected)[-5:]).max() < 0.05


@pytest.mark.filterwarnings("ignore:.*torch.cuda.amp.autocast:FutureWarning")
def test_padded_as_its_own_pipeline_does(whole, tiny, yolox):
    load, resize, pack = tiny.pipeline
    pad = dict(type="Pad", pad_to_square=True, pad_val=dict(img=(114.0, 114.0, 114.0)))
    pipeline = [load, dict(resize, scale=(96, 96)), pad, pack]
    lowered = lower(yolox, pipeline)
    whole.check(yolox, pipeline, lowered, tiny.image)

    program = calibrate(lowered.program, lowered.weights, [("noise", tiny.image)])
    artifact = Artifact(program, lowered.weights, ("red", "green"), {})
    with NativeEngine(artifact) as engine:
        for image in (tiny.image, tiny.image[:, :31], tiny.image[:20]):
            for found, expected in zip(
                engine.detect(image), ReferenceEngine(artifact).detect(image), strict=True
            ):
                assert len(found) > 5 and found.tobytes() == expected.tobytes()


def test_anchors_are_no_points(tiny, yolox, monkeypatch):
    anchors = AnchorGenerator(strides=[8], ratios=[1.0], scales=[4])
    monkeypatch.setattr(yolox.bbox_head, "prior_generator", anchors)
    with pytest.raises(ConfigError, match="prior_generator: AnchorGenerator cannot be lowered"):
        lower(yolox, tiny.pipeline)
