"""Images as a detector's test pipeline gives them, for passes without labels."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dataset import Compose
from torch import nn

from lbwdet.errors import DataError
from lbwdet.measuring.candidates import file_pipeline


def read_input(cfg: Config, path: Path) -> dict[str, Any]:
    """One image as the test pipeline gives it, without its annotations.

    Raises:
        DataError: it cannot be read.
    """
    try:
        data: dict[str, Any] = Compose(file_pipeline(cfg))(dict(img_path=str(path), img_id=0))
    except Exception as error:  # decoders raise whatever they like
        raise DataError(f"{path}: cannot read this image ({error})") from error
    return data


def detect(model: nn.Module, data: Mapping[str, Any]) -> object:
    """A whole pass of a detector on what :func:`read_input` gave."""
    test_step: Any = model.test_step
    samples = [copy.deepcopy(data["data_samples"])]  # they are written to
    return test_step(dict(inputs=[data["inputs"]], data_samples=samples))
