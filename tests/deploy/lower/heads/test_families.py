"""Backbones and necks of MMDetection's families, small, with RetinaNet's head."""

import numpy as np
import pytest

from lbwdet.deploy.calibration import calibrate
from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.artifact import Artifact
from lbwdet.deploy.runtime.native import NativeEngine
from lbwdet.deploy.runtime.native_library import library_path
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine
from lbwdet.deploy.runtime.validate import check_artifact

NORM = dict(type="BN", requires_grad=True)
STAGE = dict(num_modules=1, block="BASIC")
HRNET = dict(
    _delete_=True,
    type="HRNet",
    extra=dict(
        stage1=dict(
            num_modules=1, num_branches=1, block="BASIC", num_blocks=(1,), num_channels=(8,)
        ),
        stage2=dict(STAGE, num_branches=2, num_blocks=(1, 1), num_channels=(4, 8)),
        stage3=dict(STAGE, num_branches=3, num_blocks=(1,) * 3, num_channels=(4, 8, 8)),
        stage4=dict(STAGE, num_branches=4, num_blocks=(1,) * 4, num_channels=(4, 8, 8, 8)),
    ),
)
RESNET = dict(depth=50, base_channels=4)
CONTEXT = dict(
    plugins=[
        dict(
            cfg=dict(type="ContextBlock", ratio=0.25),
            stages=(False, True, True, False),
            position="after_conv3",
        )
    ]
)
WIDE = [16, 32, 64, 128]
FAMILIES = {
    "hrnet": (HRNET, dict(_delete_=True, type="HRFPN", in_channels=[4, 8, 8, 8], out_channels=16)),
    "gcnet and pafpn": (
        dict(RESNET, **CONTEXT),
        dict(_delete_=True, type="PAFPN", in_channels=WIDE, out_channels=16, num_outs=5),
    ),
    "resnest": (
        dict(
            RESNET,
            type="ResNeSt",
            stem_channels=8,
            radix=2,
            reduction_factor=1,
            avg_down_stride=True,
        ),
        dict(in_channels=WIDE),
    ),
    "res2net": (
        dict(RESNET, type="Res2Net", scales=4, base_width=26, deep_stem=True, avg_down=True),
        dict(in_channels=WIDE),
    ),
    "nas_fpn": (
        {},
        dict(
            _delete_=True,
            type="NASFPN",
            in_channels=[8, 16, 32, 64],
            out_channels=16,
            num_outs=5,
            stack_times=1,
            start_level=1,
            norm_cfg=NORM,
        ),
    ),
    "mobilenet": (
        dict(_delete_=True, type="MobileNetV2", widen_factor=0.25, out_indices=(1, 2, 4, 6)),
        dict(in_channels=[8, 8, 24, 80]),
    ),
}


QUICK = ("hrnet", "gcnet and pafpn", "resnest")  # the most operations; others with the zoo


@pytest.mark.parametrize(
    "family",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.zoo) for name in FAMILIES],
)
def test_equals_mmdetection_and_the_engines_each_other(whole, tiny, one_stage, family):
    backbone, neck = FAMILIES[family]
    divisor = {"data_preprocessor.pad_size_divisor": 128 if family == "nas_fpn" else 32}
    model = one_stage({"backbone": backbone, "neck": neck, **divisor})
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    # HRFPN averages over windows of 16 pixels of a map at a quarter of the image's size.
    assert lowered.program.operations[0].least_multiple == (2 if family == "hrnet" else 1)

    program = calibrate(lowered.program, lowered.weights, [("noise", tiny.image)])
    check_artifact(program, lowered.weights, ("red", "green"))
    if library_path() is None:
        return
    artifact = Artifact(program, lowered.weights, ("red", "green"), {})
    with NativeEngine(artifact) as engine:
        for image in (tiny.image, np.ascontiguousarray(tiny.image[:, :31])):
            for found, expected in zip(
                engine.detect(image), ReferenceEngine(artifact).detect(image), strict=True
            ):
                assert found.tobytes() == expected.tobytes()
