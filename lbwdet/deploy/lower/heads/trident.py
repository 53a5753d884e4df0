"""TridentNet with one of its branches, as it is tested: Faster R-CNN."""

from typing import Any

from mmdet.models.roi_heads import TridentRoIHead

from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.heads.faster_rcnn import FasterRCNN
from lbwdet.deploy.lower.settings import check_type
from lbwdet.errors import ConfigError


@head("TridentRoIHead", ("TridentFasterRCNN",))
class Trident(FasterRCNN):
    """Boxes of all branches are suppressed once more together; those of one are left as they are.

    Raises:
        ConfigError: it is tested with all branches.
    """

    def __init__(self, model: Any) -> None:
        check_type("roi_head", model.roi_head, TridentRoIHead, "predict", "merge_trident_bboxes")
        if model.test_branch_idx == -1:
            raise ConfigError(
                "backbone.test_branch_idx=-1, all branches, cannot be lowered; give one of them"
            )
        super().__init__(model)
