import cv2
import numpy as np
import pytest
from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope

import lbwdet.datasets  # noqa: F401
from lbwdet.datasets.odd_images import name_odd_images
from lbwdet.errors import DataError


class Images(BaseDataset):
    def load_data_list(self):
        return [dict(img_path=path) for path in self.ann_file]

    def _join_prefix(self):
        pass


@pytest.fixture(autouse=True)
def _named(monkeypatch):
    monkeypatch.setattr(BaseDataset, "prepare_data", BaseDataset.prepare_data)
    name_odd_images()
    name_odd_images()  # twice changes nothing
    init_default_scope("mmdet")


@pytest.fixture
def paths(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((40, 50, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "thin.png"), np.zeros((1, 20_000, 3), np.uint8))
    (tmp_path / "text.png").write_text("none")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "torn.png").write_bytes(whole[:40] + bytes(len(whole) - 40))  # a sound header
    return {name: str(tmp_path / f"{name}.png") for name in ("a", "thin", "text", "torn")}


STEPS = [dict(type="LoadImageFromFile"), dict(type="Resize", scale=(96, 64), keep_ratio=True)]


@pytest.mark.parametrize("odd", ["thin", "text", "torn"])
def test_training_takes_another_and_testing_says_which(paths, odd):
    settings = dict(ann_file=[paths[odd], paths["a"]], pipeline=STEPS, serialize_data=False)
    assert Images(**settings)[0]["img_path"] == paths["a"]
    with pytest.raises(DataError, match=rf"{odd}\.png: .*; take it out of the test set"):
        Images(test_mode=True, **settings)[0]


def test_other_failures_are_passed_on(paths):
    steps = [STEPS[0], dict(type="Resize", scale=(-1, -1))]
    with pytest.raises(Exception) as caught:
        Images(ann_file=[paths["a"]], pipeline=steps)[0]
    assert not isinstance(caught.value, DataError)
