"""Class names of a config's data sets, a checkpoint and a model's heads, one against another.

The n-th name is what a detector means by label n. Where two of the three disagree, boxes get
the names of other things, and every number that follows is wrong without a word. So
:func:`check_classes` is asked by whatever puts them together.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lbwdet.compat  # noqa: F401  (first: mmdet.datasets imports mmcv.ops)

# isort: split
from mmdet.datasets.base_det_dataset import BaseDetDataset
from mmdet.datasets.base_video_dataset import BaseVideoDataset
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.fileio import list_from_file
from torch import nn

from lbwdet.configs import inner_datasets
from lbwdet.errors import CheckpointError, ConfigError, shown

Classes = tuple[str, ...]
_FEW = 12  # names that a message lists
# Parts of models whose num_classes counts something else than the data set's classes.
_OTHER_COUNTS = {"backbone", "rpn_head", "semantic_head", "reid"}


def check_classes(
    cfg: Config,
    model: nn.Module,
    splits: tuple[str, ...] = ("test",),
    meta: Mapping[str, Any] | None = None,
    checkpoint: str | Path | None = None,
) -> Classes:
    """The names of the classes that the model detects, if everybody agrees about them.

    Args:
        cfg: of the model; its data sets name classes.
        model: built from ``cfg``; its heads have ``num_classes``.
        splits: whose data sets are used: ``'train'``, ``'val'``, ``'test'``.
        meta: of the checkpoint that was or will be loaded; None if there is none, or if
            its classes do not matter.
        checkpoint: the file, for messages.

    Returns:
        The checkpoint's names, or the config's; empty where neither says any.

    Raises:
        ConfigError: data sets and heads disagree, or the names are no names.
        CheckpointError: the checkpoint was trained on other classes, or in another order.
    """
    trained = checkpoint_classes(meta or {}, checkpoint)
    if any(hasattr(part, "language_model") for part in model.modules()):
        # Its classes are words of a prompt, others in each data set.
        return config_classes(cfg, splits[-1:]) or trained or ()
    named = config_classes(cfg, splits)
    if classes := named or trained:
        who = f"the {splits[0]} data set" if named else str(checkpoint)
        _check_heads(cfg, model, classes, splits, who)
    if trained is None or named is None or trained == named:
        return trained or named or ()
    raise CheckpointError(
        f"{checkpoint}: trained on the classes {_listed(trained)}, but {cfg.filename} "
        f"{'trains on' if 'train' in splits else 'tests'} {_listed(named)}"
        f"{_difference(trained, named)}; give the data set's metainfo the classes of the "
        "checkpoint, or name the checkpoint of this config"
    )


def config_classes(cfg: Config, splits: tuple[str, ...]) -> Classes | None:
    """The class names that the data sets of these splits agree on; None if they name none.

    Raises:
        ConfigError: they name different ones, or what they name are no names.
    """
    first: tuple[str, Classes] | None = None
    for split in splits:
        classes = _split_classes(cfg, split)
        if classes is None:
            continue
        if first is not None and first[1] != classes:
            raise ConfigError(
                f"{cfg.filename}: the {first[0]} data set has the classes {_listed(first[1])}, the "
                f"{split} data set {_listed(classes)}{_difference(first[1], classes)}; give both "
                "the same metainfo"
            )
        first = first or (split, classes)
    return None if first is None else first[1]


def checkpoint_classes(meta: Mapping[str, Any], path: str | Path | None) -> Classes | None:
    """The class names in a checkpoint's ``meta``; None if it has none.

    MMEngine writes the metainfo of the training set, which is a list where that is a
    ``ConcatDataset`` of differing parts. MMDetection 2 wrote ``CLASSES``.

    Raises:
        CheckpointError: it was trained on parts with different classes.
    """
    written = isinstance(meta, Mapping) and (meta.get("dataset_meta") or meta)
    found: list[Classes] = []
    for part in written if isinstance(written, list | tuple) else [written]:
        if not isinstance(part, Mapping):
            continue
        lower = {str(key).lower(): value for key, value in part.items()}
        if lower.get("classes") is not None:
            classes = lower["classes"]
            if isinstance(classes, str):  # it might name any file or URL, and have it read
                raise CheckpointError(
                    f"{path}: its classes are a text, {shown(classes)}, and no list of names; "
                    "correct dataset_meta in the checkpoint"
                )
            found.append(read_names(classes, str(path), CheckpointError))
    if len(set(found)) > 1:
        other = next(classes for classes in found if classes != found[0])
        raise CheckpointError(
            f"{path}: trained on data sets with different classes, {_listed(found[0])} and "
            f"{_listed(other)}, so that a label means both; train again on parts with the same ones"
        )
    return found[0] if found else None


def join_metainfo(cfg: Config, splits: tuple[str, ...]) -> None:
    """Lets concatenated data sets that name the same classes have one metainfo, in place.

    MMDetection's ``ConcatDataset`` makes a list of its parts' metainfo where they differ in
    whatever it be, a palette or the year of VOC, and metrics, checkpoints and
    ``init_detector`` do not expect one.
    """
    for split in splits:
        for dataset in inner_datasets((cfg.get(f"{split}_dataloader") or {}).get("dataset")):
            parts = dataset.get("datasets")
            if parts and dataset_classes(dataset, f"{cfg.filename}: {split} data set") is not None:
                keys = {"classes", "palette", "dataset_type"}
                for part in inner_datasets(parts):
                    keys |= {*(part.get("metainfo") or {}), *_metainfo(part)}
                dataset["ignore_keys"] = sorted(keys)


def dataset_classes(dataset: Mapping[str, Any], where: str) -> Classes | None:
    """The class names of a data set's config, read as MMEngine reads them; None if it has none.

    Args:
        dataset: its settings, or those of a wrapper around it.
        where: for messages.

    Raises:
        ConfigError: the parts of a concatenated data set differ, or the names are no names.
    """
    if parts := dataset.get("datasets"):
        found = [dataset_classes(part, where) for part in parts]
        first = found[0]
        for index, classes in enumerate(found):
            if classes is not None and first is not None and classes != first:
                raise ConfigError(
                    f"{where}: its parts name different classes, part 0 {_listed(first)} and "
                    f"part {index} {_listed(classes)}, so that a label means both; give every "
                    "part the same metainfo"
                )
        return None if None in found else first
    if isinstance(dataset.get("dataset"), Mapping):
        return dataset_classes(dataset["dataset"], where)
    if issubclass(_dataset_class(dataset) or object, BaseVideoDataset):
        return None  # names all kinds of its annotations; trackers follow some of them
    metainfo = dataset.get("metainfo") or {}
    if "CLASSES" in metainfo and "classes" not in metainfo:
        raise ConfigError(
            f"{where}: metainfo has CLASSES, which MMDetection 3 does not read; write classes"
        )
    classes = metainfo.get("classes", _metainfo(dataset).get("classes"))
    return None if classes is None else read_names(classes, where)


def read_names(classes: Any, where: str, error: type[Exception] = ConfigError) -> Classes:
    """The class names of a ``metainfo``; a text names a file with one on each line.

    Raises:
        error: they are no names.
    """
    if isinstance(classes, str):
        try:
            classes = list_from_file(classes)
        except (OSError, TypeError, ValueError) as reason:
            raise error(
                f"{where}: classes={classes!r} is a text and no file of names; for a single class "
                f"write classes=({classes!r},) with a comma"
            ) from reason
    names = tuple(classes) if isinstance(classes, list | tuple) else ()
    if not names or not all(isinstance(name, str) for name in names):
        raise error(f"{where}: classes={shown(classes)}; write a tuple of names, ('cat', 'dog')")
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise error(f"{where}: classes has {shown(twice)} more than once; each label needs its own")
    return names


def _split_classes(cfg: Config, split: str) -> Classes | None:
    loader = cfg.get(f"{split}_dataloader") or {}
    evaluator = cfg.get(f"{split}_evaluator") or {}
    # Made for parts with classes of their own, each measured by itself.
    if isinstance(evaluator, Mapping) and "dataset_prefixes" in evaluator:
        return None
    dataset = loader.get("dataset")
    if not isinstance(dataset, Mapping):
        return None
    return dataset_classes(dataset, f"{cfg.filename}: {split} data set")


def _check_heads(
    cfg: Config, model: nn.Module, classes: Classes, splits: tuple[str, ...], who: str
) -> None:
    datasets = [
        dataset
        for split in splits
        for dataset in inner_datasets((cfg.get(f"{split}_dataloader") or {}).get("dataset"))
        if "dataset" not in dataset and "datasets" not in dataset
    ]
    kinds = [_dataset_class(dataset) for dataset in datasets]
    if any(kind is None or not issubclass(kind, BaseDetDataset) for kind in kinds):
        return  # of re-identification, say, whose labels are persons
    counts = {len(classes)}
    for dataset in datasets:  # panoptic: boxes are of things alone
        metainfo = {**_metainfo(dataset), **(dataset.get("metainfo") or {})}
        counts |= {len(metainfo[key]) for key in ("thing_classes",) if key in metainfo}
    for name, module in model.named_modules():
        count = getattr(module, "num_classes", None)
        other = _OTHER_COUNTS & set(name.split(".")) or "RPN" in type(module).__name__
        if not isinstance(count, int) or count < 1 or other:
            continue
        if count not in counts and not getattr(module, "class_agnostic", False):
            raise ConfigError(
                f"{cfg.filename}: {name} ({type(module).__name__}) has num_classes={count}, but "
                f"{who} names {len(classes)} classes, {_listed(classes)}; "
                f"set num_classes={len(classes)}, or give the data set the classes that the model "
                "is made for: metainfo=dict(classes=...)"
            )


def _metainfo(dataset: Mapping[str, Any]) -> Mapping[str, Any]:
    metainfo: Mapping[str, Any] = getattr(_dataset_class(dataset), "METAINFO", {})
    return metainfo


def _dataset_class(dataset: Mapping[str, Any]) -> type | None:
    kind = dataset.get("type")
    found = DATASETS.get(kind) if isinstance(kind, str) else kind
    return found if isinstance(found, type) else None


def _listed(names: Classes) -> str:
    """All of a few names, the first of many."""
    few = names if len(names) <= _FEW else names[: _FEW - 1]
    return str(list(few)) if few == names else f"[{str(list(few))[1:-1]}, ... ({len(names)})]"


def _difference(one: Classes, other: Classes) -> str:
    """What the listed names do not show."""
    if sorted(one) == sorted(other):
        return ", the same in another order"
    if len(one) != len(other) or len(one) <= _FEW:
        return ""
    label = next(label for label in range(len(one)) if one[label] != other[label])
    return f"; label {label} is {one[label]!r} in the former, {other[label]!r} in the latter"
