"""Distributed training without a GPU."""

import torch
from mmengine.config import Config
from torch import distributed


def join_cpu_processes(cfg: Config) -> None:
    """Joins the processes that ``torchrun`` started on a machine without a GPU, over gloo.

    MMEngine's launcher ``'pytorch'`` gives each process a GPU and hands the model to
    one, even for a backend that needs none; it leaves alone what is set up already.
    On a machine with GPUs, and without that launcher, this does nothing.
    """
    if cfg.get("launcher") != "pytorch" or torch.cuda.is_available():
        return
    if not distributed.is_initialized():
        distributed.init_process_group("gloo")
    if not cfg.get("model_wrapper_cfg"):
        # What MMEngine would use, but for the GPU's number.
        cfg.model_wrapper_cfg = dict(
            type="MMDistributedDataParallel",
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=cfg.get("find_unused_parameters", False),
        )
