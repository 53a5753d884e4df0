"""Hooks of low-bit training."""

import lbwdet.compat  # noqa: F401  (mmdet imports mmcv.ops)
from lbwdet.checkpoint_file import close_other_doors
from lbwdet.training.activation_hook import ActivationHook
from lbwdet.training.channels_last_hook import ChannelsLastHook
from lbwdet.training.cpu_amp import CPUAmpOptimWrapper
from lbwdet.training.epoch_seed_hook import EpochSeedHook
from lbwdet.training.level_step_hook import LevelStepHook
from lbwdet.training.norm_eval_hook import NormEvalHook
from lbwdet.training.projection_hook import ProjectionHook
from lbwdet.training.quant_monitor_hook import QuantMonitorHook
from lbwdet.training.quant_record_hook import QuantRecordHook
from lbwdet.training.quantize_hook import QuantizeHook
from lbwdet.training.resume_hook import ResumeHook
from lbwdet.training.scheme_hook import SchemeHook
from lbwdet.training.teacher_hook import TeacherHook

__all__ = [
    "ActivationHook",
    "CPUAmpOptimWrapper",
    "ChannelsLastHook",
    "EpochSeedHook",
    "LevelStepHook",
    "NormEvalHook",
    "ProjectionHook",
    "QuantMonitorHook",
    "QuantRecordHook",
    "QuantizeHook",
    "ResumeHook",
    "SchemeHook",
    "TeacherHook",
]

close_other_doors()
