"""Testing from a config and a checkpoint: MMDetection's ``tools/test.py``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdet.engine.hooks.utils import trigger_visualization_hook
from mmdet.evaluation import DumpDetResults
from mmengine.config import ConfigDict

from lbwdet.configs import default_work_dir, load_config
from lbwdet.datasets.check import check_data
from lbwdet.errors import ConfigError
from lbwdet.training.run import build_runner, check_launcher, check_model


def test(
    config: str | Path,
    checkpoint: str,
    work_dir: str | None = None,
    out: str | None = None,
    show_dir: str | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    data_root: str | None = None,
    launcher: str = "none",
) -> dict[str, float]:
    """Runs the config's own test loop on a checkpoint.

    Args:
        config, cfg_options, data_root, launcher: as for training.
        checkpoint: must fit the model exactly.
        work_dir: where the log goes.
        out: a ``.pkl`` file for the predictions.
        show_dir: a folder, below the log's, for painted images.

    Returns:
        The metrics, for example ``{'pascal_voc/mAP': 0.85, ...}``.

    Raises:
        ConfigError, DataError, CheckpointError: with a message for the user.
    """
    check_launcher(launcher)
    cfg = load_config(config, cfg_options, data_root)
    cfg.work_dir = work_dir or cfg.get("work_dir") or default_work_dir(config)
    cfg.load_from = checkpoint
    cfg.resume = False
    if out and not out.endswith((".pkl", ".pickle")):
        raise ConfigError(f"--out {out}: predictions are written as .pkl or .pickle")
    check_data(cfg, splits=("test",))
    check_model(cfg, splits=("test",))
    if show_dir:
        cfg = trigger_visualization_hook(
            cfg, ConfigDict(show=False, show_dir=show_dir, wait_time=0)
        )
    runner = build_runner(cfg, ("test",), launcher)
    if out:
        runner.test_evaluator.metrics.append(DumpDetResults(out_file_path=out))
    metrics: dict[str, float] = runner.test()
    return metrics
