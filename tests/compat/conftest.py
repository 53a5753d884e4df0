"""Runs before the test modules here import ``mmcv.ops``."""

import pytest
import torch

import lbwdet.compat

lbwdet.compat.install_extension()


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    torch.manual_seed(0)
