import pytest

from lbwdet.errors import ConfigError
from lbwdet.importing.classes import COCO_NAMES, channels_of


def test_by_name_by_vocs_name_and_with_underscores():
    known = ["tv", "couch", "wine glass", "cat"]
    assert channels_of(["cat", "tvmonitor", "wine_glass", "sofa"], known, "c.pth") == [3, 0, 2, 1]


def test_every_class_of_voc_is_in_coco():
    from mmdet.datasets import CocoDataset, VOCDataset

    known = CocoDataset.METAINFO["classes"]
    found = channels_of(VOCDataset.METAINFO["classes"], known, "c.pth")
    assert len(set(found)) == 20
    assert set(COCO_NAMES) <= set(VOCDataset.METAINFO["classes"])


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (["cats", "drone"], "no channel for the class 'cats', 'drone'.*like it: cat;"),
        (["drone"], "among its 2 classes; leave it out"),
        (["sofa", "cat", "couch"], r"the classes \['sofa', 'couch'\] of the data set are one"),
    ],
)
def test_a_class_without_a_partner_or_with_anothers_is_refused(wanted, message):
    with pytest.raises(ConfigError, match=message):
        channels_of(wanted, ["cat", "couch"], "c.pth")
