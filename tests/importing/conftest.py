"""A YOLOX-Nano with random weights in the forms in which such files are published."""

import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.importing.official_yolox import OfficialYOLOX, random_yolox

CONFIG = """
_base_ = 'mmdet::yolox/yolox_nano_8xb8-300e_coco.py'
model = dict(bbox_head=dict(num_classes=3))
test_dataloader = dict(dataset=dict(metainfo=dict(classes=('sofa', 'person', 'aeroplane'))))
"""


@pytest.fixture(scope="session")
def official() -> OfficialYOLOX:
    torch.manual_seed(0)
    return random_yolox()


@pytest.fixture(scope="session")
def published(official, tmp_path_factory) -> dict[str, Path]:
    """The same weights as ``.pth`` and as ``.onnx``."""
    folder = tmp_path_factory.mktemp("published")
    files = dict(pth=folder / "yolox_nano.pth", onnx=folder / "yolox_nano.onnx")
    torch.save(dict(model=official.state_dict(), start_epoch=300), files["pth"])
    export(official, files["onnx"])
    return files


def export(network: torch.nn.Module, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, torch.zeros(1, 3, 64, 64), str(path), dynamo=False)


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for index in range(3):
        noise = np.random.default_rng(index).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), cv2.resize(noise, (96, 80)))
    return folder


@pytest.fixture
def config(tmp_path) -> Path:
    """Of three classes, under VOC's names."""
    path = tmp_path / "mine.py"
    path.write_text(CONFIG)
    return path
