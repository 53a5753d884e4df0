"""Makes an epoch's randomness a function of the seed and the epoch alone."""

from mmdet.registry import HOOKS
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.runner.utils import set_random_seed


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seeds every random generator anew at the start of each training epoch.

    MMEngine's checkpoints hold no generator state, so a resumed run would draw
    other flips and other proposal samples than the uninterrupted one. With this
    hook, training resumed from an epoch's checkpoint gives the same weights bit
    for bit (on the CPU, or with deterministic GPU kernels). Ranks draw
    differently from one another, as they should. Data loader workers that outlive an
    epoch (``persistent_workers=True``) keep generators of their own, out of reach.
    """

    priority = "VERY_HIGH"

    def before_train_epoch(self, runner: Runner) -> None:
        # Far apart, so that no (epoch, rank) pair repeats another one's seed.
        set_random_seed((runner.seed + 1_000_003 * runner.epoch + 10_007 * get_rank()) % 2**32)
