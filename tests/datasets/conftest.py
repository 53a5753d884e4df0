from pathlib import Path

import pytest

from lbwdet.datasets.toy import make_toy_dataset


@pytest.fixture(scope="session")
def toy_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small toy data set that tests read and never change."""
    root = tmp_path_factory.mktemp("data") / "toy"
    make_toy_dataset(root, num_trainval=12, num_test=6)
    return root
