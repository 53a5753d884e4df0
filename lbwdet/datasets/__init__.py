"""The toy data set, VOC-format data sets with slips in them, and the check before a run."""

import lbwdet.compat  # noqa: F401  (first: mmdet.datasets imports mmcv.ops)
from lbwdet.checkpoint_file import close_other_doors
from lbwdet.datasets.check import check_data
from lbwdet.datasets.image_formats import allow_image_formats
from lbwdet.datasets.toy import make_toy_dataset
from lbwdet.datasets.voc import LBWVOCDataset

__all__ = ["LBWVOCDataset", "check_data", "make_toy_dataset"]

close_other_doors()
allow_image_formats()
