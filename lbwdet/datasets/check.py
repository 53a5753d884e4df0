"""Looks whether the data that a config names is there, before anything is built or written."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from lbwdet.datasets.voc_files import find_image, read_ids, some
from lbwdet.errors import ConfigError, DataError

VOC_TYPES = ("LBWVOCDataset", "VOCDataset", "XMLDataset")
SPLITS = ("train", "val", "test")
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
        for dataset in _voc_datasets(loader.get("dataset") if loader else None):
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


def set_data_root(cfg: Config, root: str | Path) -> None:
    """Points all VOC-format data sets in ``cfg`` to ``root``, in place.

    Overriding the top-level ``data_root`` of a config does not do this: it is
    a plain variable, copied into the data sets while the file is read.

    Raises:
        ConfigError: There is no such data set, or they have different roots.
    """
    datasets = [
        dataset
        for split in SPLITS
        if cfg.get(f"{split}_dataloader")
        for dataset in _voc_datasets(cfg[f"{split}_dataloader"].get("dataset"))
    ]
    roots = sorted({str(dataset.get("data_root")) for dataset in datasets})
    if len(roots) != 1:
        found = (
            f"data sets with different roots: {', '.join(roots)}" if roots else "no such data set"
        )
        raise ConfigError(
            f"the data root can be set only for VOC-format data sets that share one; this config "
            f"has {found}. Set each by --cfg-options train_dataloader.dataset.data_root=..."
        )
    cfg.data_root = str(root)
    for dataset in datasets:
        dataset["data_root"] = str(root)


def _voc_datasets(dataset: Any) -> Iterator[dict[str, Any]]:
    """The VOC-format data sets inside wrappers such as RepeatDataset and ConcatDataset."""
    if isinstance(dataset, (list, tuple)):
        for part in dataset:
            yield from _voc_datasets(part)
    elif isinstance(dataset, dict):
        kind = dataset.get("type")
        name = kind if isinstance(kind, str) else getattr(kind, "__name__", "")
        if name.rpartition(".")[2] in VOC_TYPES:  # 'mmdet.VOCDataset' names its scope
            yield dataset
        yield from _voc_datasets(dataset.get("dataset"))
        yield from _voc_datasets(dataset.get("datasets"))


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
    missing = [f"{id_}.jpg" for id_ in ids if find_image(images, id_) is None]
    if missing:
        yield f"{images}: {len(missing)} of {len(ids)} missing: {some(missing)}"
