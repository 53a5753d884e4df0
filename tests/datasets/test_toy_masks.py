import json

import numpy as np
from pycocotools import mask as coco

from lbwdet.datasets.toy_drawing import CLASSES, draw_image
from lbwdet.datasets.toy_masks import write_masks

COUNT = 12


def test_what_is_drawn_is_read_back_and_lies_in_its_box(tmp_path):
    drawn = [draw_image(np.random.default_rng([0, 0, index]))[1] for index in range(COUNT)]
    write_masks(tmp_path, {"test": drawn}, (192, 160))
    content = json.loads((tmp_path / "annotations/test.json").read_text())
    assert [image["id"] for image in content["images"]] == [*range(COUNT)]
    names = {entry["id"]: entry["name"] for entry in content["categories"]}
    assert tuple(names.values()) == CLASSES
    entries = content["annotations"]
    assert len({entry["id"] for entry in entries}) == len(entries) == sum(map(len, drawn))
    for entry, (number, one) in zip(
        entries, ((number, one) for number, shown in enumerate(drawn) for one in shown), strict=True
    ):
        assert (entry["image_id"], names[entry["category_id"]]) == (number, one.name)
        pixels = coco.decode(entry["segmentation"]).astype(bool)
        assert pixels.shape == (160, 192) and (pixels == one.mask).all()
        assert entry["area"] == pixels.sum()
        x, y, width, height = entry["bbox"]
        assert (x, y, x + width, y + height) == (one.box[0] - 1, one.box[1] - 1, *one.box[2:])
        outside = pixels.copy()
        outside[y : y + height, x : x + width] = False
        assert outside.sum() <= 0.02 * pixels.sum()  # boxes are rounded outlines


def test_masks_of_one_image_share_no_pixel_and_hide_at_most_half():
    for index in range(COUNT):
        masks = [one.mask for one in draw_image(np.random.default_rng([0, 0, index]))[1]]
        # Where edges meet, half of a pixel may belong to either.
        assert (np.sum(masks, axis=0) > 1).sum() <= 0.01 * np.sum(masks)
        assert all(mask.any() for mask in masks)
