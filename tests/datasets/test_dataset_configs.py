from pathlib import Path

import pytest
import torch
from mmdet.datasets import VOCDataset
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, set_random_seed

from lbwdet.configs import set_data_root
from lbwdet.datasets.toy_drawing import CLASSES

CONFIGS = Path(__file__).parents[2] / "configs" / "_base_" / "datasets"
SMALL = ("bccd", "toy", "voc-sample")


@pytest.mark.parametrize("name", SMALL)
def test_settings_reach_the_nested_data_sets(name):
    cfg = Config.fromfile(CONFIGS / f"{name}.py")
    for split in ("train", "val", "test"):
        dataset = cfg[f"{split}_dataloader"].dataset
        assert dataset.type == "LBWVOCDataset"
        assert dataset.data_root == cfg.data_root and dataset.metainfo == cfg.metainfo
        (resize,) = [step for step in dataset.pipeline if step.type == "Resize"]
        assert resize.scale == cfg.image_scale
    assert len(cfg.metainfo.classes) == len(set(map(tuple, cfg.metainfo.palette)))
    assert cfg.test_dataloader == cfg.val_dataloader and cfg.test_evaluator == cfg.val_evaluator


def test_classes_are_those_of_the_data():
    assert Config.fromfile(CONFIGS / "toy.py").metainfo.classes == CLASSES
    sample = Config.fromfile(CONFIGS / "voc-sample.py").metainfo
    voc = VOCDataset.METAINFO
    kept = [index for index, name in enumerate(voc["classes"]) if name in sample.classes]
    assert list(sample.classes) == [voc["classes"][index] for index in kept] and len(kept) == 15
    assert list(sample.palette) == [voc["palette"][index] for index in kept]


def _batches(cfg: Config) -> list[torch.Tensor]:
    set_random_seed(5)
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=5)
    return [torch.stack(batch["inputs"]) for batch in loader]


def test_training_batches_depend_on_the_seed_only(toy_root):
    register_all_modules(init_default_scope=False)
    init_default_scope("mmdet")
    cfg = Config.fromfile(CONFIGS / "toy.py")
    set_data_root(cfg, toy_root)
    first, second = _batches(cfg), _batches(cfg)
    assert [batch.shape for batch in first] == [(8, 3, 160, 192), (4, 3, 160, 192)]
    assert all(map(torch.equal, first, second))
