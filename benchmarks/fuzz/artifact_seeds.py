"""Sound small artifacts, from which mutants are made: every head, every operation, both formats."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lbwdet.deploy.artifact_writer import artifact_bytes
from lbwdet.deploy.testing import random_image, tiny_artifact, tiny_rfcn_artifact

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "deploy" / "golden"  # the smallest there can be, in formats 1 and 2
PIPELINE = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(48, 32), keep_ratio=True),
    dict(type="PackDetInputs"),
]
_NECK = dict(in_channels=[2, 4, 8, 16], out_channels=8)
_DARKNET = dict(
    backbone=dict(_delete_=True, type="CSPDarknet", deepen_factor=0.34, widen_factor=0.03125),
    neck=dict(
        _delete_=True,
        type="YOLOXPAFPN",
        in_channels=[8, 16, 32],
        out_channels=8,
        num_csp_blocks=1,
        use_depthwise=True,
    ),
    test_cfg=dict(_delete_=True, score_thr=0.01, nms=dict(type="nms", iou_threshold=0.65)),
)
_SQUARES = dict(
    type="AnchorGenerator",
    ratios=[1.0],
    octave_base_scale=8,
    scales_per_octave=1,
    strides=[8, 16, 32, 64, 128],
)
_HEADS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "retinanet": ("RetinaNet", {}, {}),
    "fcos": ("FCOS", {}, dict(type="FCOSHead", norm_cfg=dict(type="BN"), norm_on_bbox=True)),
    "ddod": (
        "DDOD",
        dict(train_cfg=None),
        dict(type="DDODHead", norm_cfg=dict(type="BN"), anchor_generator=_SQUARES),
    ),
    "yolox": ("YOLOX", _DARKNET, dict(type="YOLOXHead", use_depthwise=True)),
}


def written() -> dict[str, bytes]:
    """Those that are put together operation by operation, with random weights."""
    settings: list[dict[str, Any]] = [
        dict(activation_bits=4, class_agnostic=True, granularity="channel"),
        dict(bit_width=6, code="two-term", keep_ratio=False),
        dict(bit_width=1, code="paper"),
    ]
    small: dict[str, Any] = dict(channels=2, size=(48, 32), num_classes=2)
    found = {
        f"two-stage-{index}": artifact_bytes(tiny_artifact(**small, **setting), bool(index % 2))
        for index, setting in enumerate(settings)
    }
    found["rfcn"] = artifact_bytes(tiny_rfcn_artifact(**small))
    return found | {f"golden-{path.stem}": path.read_bytes() for path in GOLDEN.glob("*.lbw")}


def exported(names: Mapping[str, Any] = _HEADS) -> dict[str, bytes]:
    """Detectors of MMDetection's that were lowered and calibrated; takes PyTorch and seconds."""
    return {name: artifact_bytes(_export(*_HEADS[name])) for name in names}


def _export(detector: str, changes: Mapping[str, Any], head: Mapping[str, Any]) -> Any:
    import torch

    from lbwdet.deploy.export import export_detector
    from lbwdet.testing import tiny_config
    from lbwdet.training.build import build_model

    quant = dict(weight=dict(bit_width=5))
    config = tiny_config("unused", "unused", model="retinanet_r50_fpn", quant=quant)
    head = dict(in_channels=8, feat_channels=8, **head)
    changed = {"backbone": dict(base_channels=2), "neck": _NECK, **changes}
    if "type" in head:
        head = dict(_delete_=True, num_classes=2, **head)
    config.merge_from_dict(dict(model=dict(detector=detector, bbox_head=head, **changed)))
    torch.manual_seed(0)
    model = build_model(config).eval()
    with torch.no_grad():
        for parameter in model.bbox_head.parameters():
            if parameter.dim() >= 2:
                parameter.normal_(0, 0.1)
    images = [(f"noise {seed}", random_image(seed, 40, 60)) for seed in range(2)]
    return export_detector(model, PIPELINE, ("red", "green"), images, method="minmax")


def main() -> None:
    """Writes all of them into a folder."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (written() | exported()).items():
        (folder / f"{name}.lbw").write_bytes(content)


if __name__ == "__main__":
    main()
