"""What MMDetection 3.3's own prediction asks of every head, and SSD's does not have."""

from mmdet.models import SSDHead
from torch import nn


def complete_ssd(model: nn.Module) -> None:
    """Gives every ``SSDHead`` in a model a ``loss_cls`` of None, where it has none."""
    for part in model.modules():
        if isinstance(part, SSDHead) and not hasattr(part, "loss_cls"):
            part.loss_cls = None
