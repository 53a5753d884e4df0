"""Looks whether the data that a config names is there, before anything is built or written."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from lbwdet.configs import SPLITS, voc_datasets
from lbwdet.datasets.voc_files import find_image, read_ids, some
from lbwdet.errors import DataError
from lbwdet.images import SUFFIXES

HINT = "make the data, or name the folder that holds it by"


def check_data(cfg: Config, splits: tuple[str, ...] = SPLITS) -> None:
    """Checks the VOC-format data of the dataloaders in ``cfg``; others are left alone.

    Only looks at names, so that the 16,551 images of VOC07+12 take a fraction
    of a second; contents are checked when the data set is loaded.

    Args:
        cfg: A config with ``train_dataloader`` and so on. The command that
            gets or makes the data is taken from its ``data_hint``.
        splits: Which dataloaders to check; those that are absent or None are
            passed over.

    Raises:
        DataError: One message with every folder looked in, all that is
            missing, and what to do about it.
    """
    problems: dict[str, list[str]] = {}  # what is wrong, and which splits need it
    roots: list[str] = []
    for split in splits:
        loader = cfg.get(f"{split}_dataloader")
        for dataset in voc_datasets(loader.get("dataset") if loader else None):
            root = str(dataset.get("data_root") or "")
            if root not in roots:
                roots.append(root)
            for problem in _problems(dataset):
                users = problems.setdefault(problem, [])
                if split not in users:
                    users.append(split)
    if not problems:
        return
    looked = ", ".join(os.path.abspath(root) for root in roots)
    lines = [f"data not found; looked in {looked}"]
    lines += [f"  {'/'.join(users)}: {problem}" for problem, users in problems.items()]
    hint = str(cfg.get("data_hint", HINT)).replace("{data_root}", roots[0])
    lines += [f"What to do: {hint}", "  (or, for one command: --data-root ROOT)"]
    raise DataError("\n".join(lines))


def _problems(dataset: dict[str, Any]) -> Iterator[str]:
    """What is missing of one VOC-format data set, a line each."""
    root = Path(dataset.get("data_root") or "")
    inner = dataset.get("data_prefix", {}).get("sub_data_root", "")
    if not root.is_dir():
        yield f"{root}: no such folder" + (f"; it should hold {inner}" if inner else "")
        return
    ann_file = root / dataset["ann_file"]
    folder = root / inner
    images = folder / dataset.get("img_subdir", "JPEGImages")
    annotations = folder / dataset.get("ann_subdir", "Annotations")
    complete = True
    for path in (images, annotations):
        if not path.is_dir():
            yield f"{path}: no such folder"
            complete = False
    if not ann_file.is_file():
        yield f"{ann_file}: no such file"
        return
    ids = read_ids(ann_file)
    if not ids:
        yield f"{ann_file}: names no image"
    if not complete:
        return
    missing = [f"{id_}.xml" for id_ in ids if not (annotations / f"{id_}.xml").is_file()]
    if missing:
        yield f"{annotations}: {len(missing)} of {len(ids)} missing: {some(missing)}"
    missing = [id_ for id_ in ids if find_image(images, id_) is None]
    if missing:
        yield (
            f"{images}: {len(missing)} of {len(ids)} images missing: {some(missing)} "
            f"(looked for {', '.join(SUFFIXES)})"
        )
