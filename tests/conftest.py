"""One seed, one thread, no network: what every test of the project starts from."""

import functools
import gc
import os
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mmengine.config.config
import numpy as np
import pytest
import torch
from hypothesis import settings

import lbwdet.compat

BEGINNING = time.monotonic()
SEED = int(os.environ.get("LBWDET_TEST_SEED", "0"))
REPOSITORY = Path(__file__).resolve().parents[1]

# Before any test module imports mmdet or mmcv.ops.
lbwdet.compat.install_extension()

# Processes that tests start run on one thread, too, and find the package.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MPLBACKEND"] = "Agg"
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
)
# deadline: the first call may compile or page in; derandomize: the same examples every time
settings.register_profile("lbwdet", deadline=None, derandomize=True, database=None)
settings.load_profile("lbwdet")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seconds", type=float, help="skip tests that have not begun by then")


def pytest_runtest_setup(item: pytest.Item) -> None:
    limit = item.config.getoption("--seconds")
    if limit is not None and time.monotonic() - BEGINNING > limit:
        pytest.skip(f"not begun within {limit:g} seconds")


def pytest_report_header() -> str:
    return f"seed: {SEED} (set LBWDET_TEST_SEED to change it), torch {torch.__version__}"


def pytest_collection_finish() -> None:
    """What was imported stays: MMEngine collects garbage for every data set, half a second each."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    if report.failed:
        report.sections.append(("seed", f"LBWDET_TEST_SEED={SEED}"))
    return report


@pytest.fixture(autouse=True)
def _seed_and_threads() -> None:
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """Connections of this process may only go to this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = address[0]
            if host not in ("localhost", "::1") and not host.startswith("127."):
                raise OSError(f"tests use no network, but {address} was asked for")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture(autouse=True, scope="session")
def _plain_config_dumps() -> Iterator[None]:
    """MMEngine formats the config of each run with yapf, which takes longer than our runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mmengine.config.config, "FormatCode", lambda text, **options: (text, False))
        yield


@pytest.fixture(autouse=True, scope="session")
def _found_configs_of_packages() -> Iterator[None]:
    """For each base of MMDetection's MMEngine reads a hundred lists of configs: half a second."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_get_external_cfg_path", "is_installed"):
            patch.setattr(
                mmengine.config.config, name, functools.cache(getattr(mmengine.config.config, name))
            )
        yield
