"""``lbwdet test`` on a trained detector; what it refuses: ``tests/commands/test_training.py``."""

import pickle
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from lbwdet.configs import load_config
from lbwdet.measuring.accuracy import detect_all, evaluate
from lbwdet.measuring.candidates import TorchCandidate
from lbwdet.measuring.own_metric import test as run_test
from lbwdet.measuring.testset import load_test_set
from lbwdet.testing import tiny_config, write_tiny_voc
from lbwdet.training.run import train

EPOCHS = 25


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A 6-bit detector that knows its two training images, which the config also tests on."""
    folder = tmp_path_factory.mktemp("trained")
    root = write_tiny_voc(folder / "data", num_trainval=2, num_test=1)
    trainval = "VOC2007/ImageSets/Main/trainval.txt"
    config = tiny_config(
        root,
        folder / "run",
        quant=dict(weight=dict(bit_width=6)),
        changes={
            "optim_wrapper.optimizer.lr": 0.02,
            "train_cfg.max_epochs": EPOCHS,
            "default_hooks.checkpoint.interval": EPOCHS,
            "default_hooks.logger.interval": EPOCHS,
            "test_dataloader.dataset.ann_file": trainval,
        },
    )
    config.dump(folder / "tiny.py")
    no_val = dict(val_cfg=None, val_dataloader=None, val_evaluator=None)
    train(folder / "tiny.py", cfg_options=no_val)
    checkpoint = str(folder / "run" / f"epoch_{EPOCHS}.pth")
    return SimpleNamespace(config=str(folder / "tiny.py"), checkpoint=checkpoint)


def named(name: str) -> dict[str, str]:
    """MMEngine keeps loggers and visualizers by name as long as the process lives."""
    return {"experiment_name": name, "visualizer.name": name}


def test_finds_what_compare_finds(trained, tmp_path):
    candidate = TorchCandidate("tiny", load_config(trained.config), trained.checkpoint)
    test_set = load_test_set(load_config(trained.config))
    accuracy = evaluate(detect_all(candidate, test_set), test_set.truths, test_set.classes)
    assert accuracy.map_11point > 0.2

    for mode, value in (("11points", accuracy.map_11point), ("area", accuracy.map_area)):
        options = {"test_evaluator.eval_mode": mode, **named(mode)}
        found = run_test(
            trained.config, trained.checkpoint, str(tmp_path / mode), cfg_options=options
        )
        assert found["pascal_voc/mAP"] == value


def test_writes_predictions_and_pictures(trained, tmp_path):
    out, work_dir = tmp_path / "new folder" / "found.pkl", tmp_path / "run"
    run_test(
        trained.config,
        trained.checkpoint,
        work_dir=str(work_dir),
        out=str(out),
        show_dir="painted",
        cfg_options=named("shown"),
    )
    found = pickle.loads(out.read_bytes())
    assert [Path(entry["img_path"]).stem for entry in found] == ["000000", "000001"]
    assert all(len(entry["pred_instances"]["bboxes"]) for entry in found)
    pictures = sorted(work_dir.glob("*/painted/*.jpg"))
    assert len(pictures) == 2
    assert all(np.ptp(cv2.imread(str(picture))) > 0 for picture in pictures)
