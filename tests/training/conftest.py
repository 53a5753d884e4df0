"""Real runs of a tiny detector on a tiny data set."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from lbwdet.testing import tiny_config, write_tiny_voc

FOUR_BITS = dict(weight=dict(bit_width=4, code="dense"))


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_voc(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def make_config(tiny_root: Path, tmp_path: Path) -> Callable[..., Config]:
    """A 4-bit tiny detector; ``hooks`` are further custom hooks."""

    def make(
        quant: dict[str, Any] | None = FOUR_BITS,
        hooks: tuple[dict[str, Any], ...] = (),
        work_dir: str = "run",
        evaluate: bool = False,
        **options: Any,
    ) -> Config:
        config = tiny_config(tiny_root, tmp_path / work_dir, quant=quant, **options)
        given = {hook["type"] for hook in hooks}
        own = [hook for hook in config.custom_hooks if hook["type"] not in given]
        config.custom_hooks = [*own, *hooks]
        if not evaluate:
            config.merge_from_dict(dict(val_cfg=None, val_dataloader=None, val_evaluator=None))
        return config

    return make


@pytest.fixture
def train(make_config: Callable[..., Config]) -> Callable[..., Runner]:
    def run(**options: Any) -> Runner:
        runner = Runner.from_cfg(make_config(**options))
        runner.train()
        return runner

    return run
