import cv2
import numpy as np
import pytest

from lbwdet.datasets.image_files import find_images, read_image
from lbwdet.errors import DataError

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)


def test_a_folder_is_searched_in_order_without_subfolders(tmp_path):
    for name in ("b.PNG", "a.jpg", "deeper/c.png", "folder.png/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "notes.txt").touch()
    assert [path.name for path in find_images(tmp_path)] == ["a.jpg", "b.PNG"]
    assert find_images(str(tmp_path / "notes.txt")) == [tmp_path / "notes.txt"]  # as it was named


def test_nothing_found(tmp_path):
    with pytest.raises(DataError, match="nope: no such image or folder"):
        find_images(tmp_path / "nope")
    with pytest.raises(DataError, match=r"no image in this folder \(looked for \.jpg, "):
        find_images(tmp_path)


def test_pixels_come_in_bgr(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), IMAGE)
    assert np.array_equal(read_image(tmp_path / "a.png"), IMAGE)
    cv2.imwrite(str(tmp_path / "grey.png"), IMAGE[..., 0])
    assert np.array_equal(read_image(tmp_path / "grey.png"), IMAGE[..., [0, 0, 0]])


def test_half_an_image_is_none(tmp_path):
    whole = cv2.imencode(".jpg", IMAGE)[1].tobytes()
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"a\.jpg: .*truncated"):
        read_image(tmp_path / "a.jpg")
