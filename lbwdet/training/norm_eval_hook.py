"""Keeps what pretraining knows about the scale of every channel."""

from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.nn.modules.batchnorm import _BatchNorm

from lbwdet.training.bare_model import bare_model


@HOOKS.register_module()
class NormEvalHook(Hook):
    """Trains with the running statistics of every batch norm, which stay as they are.

    What MMDetection's backbones do by ``norm_eval=True``, for the whole detector. A few
    hundred images in batches of eight know less about a channel than the data set that
    it was trained on; gain and offset are trained all the same.
    """

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        # Not once an epoch: loops call model.train() after before_train_epoch.
        for module in bare_model(runner).modules():
            if isinstance(module, _BatchNorm):
                module.eval()
