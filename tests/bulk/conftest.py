"""A few images, one of them broken, and the smallest detector."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest

if importlib.util.find_spec("pyarrow") is None:  # pip install 'lbwdet[bulk]'
    collect_ignore_glob = ["*"]

ARTIFACT = Path(__file__).parents[1] / "deploy" / "golden" / "plain2.lbw"
SIZES = {"a.jpg": (40, 60), "b.jpg": (50, 30), "d.png": (33, 47), "e.bmp": (64, 64)}
BROKEN = "c.jpg"


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def encoded(suffix, image):
    return cv2.imencode(suffix, image)[1].tobytes()


@pytest.fixture(scope="session")
def artifact():
    return ARTIFACT


@pytest.fixture
def images(tmp_path):
    """Five files in the order of their names; the third is no image."""
    folder = tmp_path / "images"
    folder.mkdir()
    for seed, (name, size) in enumerate(SIZES.items()):
        (folder / name).write_bytes(encoded(name[1:], picture(*size, seed)))
    (folder / BROKEN).write_bytes(b"no image")
    return folder


@pytest.fixture
def rows():
    """Three images' rows: two boxes, none, and an error."""
    return [
        dict(
            index=0,
            image="a/1.jpg",
            width=60,
            height=40,
            boxes=[[1.4, 2.6, 30.0, 40.0], [-3.0, 0.0, 61.5, 12.5]],
            labels=[1, 0],
            scores=[0.75, 0.5],
            error=None,
        ),
        dict(
            index=1,
            image="b.jpg",
            width=8,
            height=9,
            boxes=[],
            labels=[],
            scores=[],
            error=None,
        ),
        dict(
            index=2,
            image="c.jpg",
            width=None,
            height=None,
            boxes=None,
            labels=None,
            scores=None,
            error="c.jpg: empty file",
        ),
    ]
