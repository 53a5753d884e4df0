from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

from lbwdet.training.resume_hook import META_KEY, Steps


@pytest.fixture
def resumed(make_config):
    """Trains an epoch, changes the checkpoint, resumes; returns the second training's log."""

    def run(change=lambda meta: None, hooks=(dict(type="ResumeHook"),), **changes) -> str:
        first = Runner.from_cfg(make_config(quant=None, hooks=hooks, work_dir="first"))
        first.train()
        path = Path(first.work_dir) / "epoch_1.pth"
        checkpoint = torch.load(path, weights_only=True)
        change(checkpoint["meta"])
        torch.save(checkpoint, path)
        again = dict(load_from=str(path), resume=True)
        config = make_config(
            quant=None,
            hooks=(dict(type="ResumeHook"),),
            work_dir="second",
            changes={**again, "train_cfg.max_epochs": 2, **changes},
        )
        runner = Runner.from_cfg(config)
        runner.train()
        (log,) = Path(runner.work_dir).glob("*/*.log")
        return log.read_text()

    return run


def test_the_same_steps_are_no_news(resumed):
    log = resumed()
    assert "was trained by" not in log and "nothing is left" not in log


def test_a_training_that_is_over_is_told(resumed):
    log = resumed(**{"train_cfg.max_epochs": 1})
    assert "epoch_1.pth: has all 1 epochs of this config behind it" in log


def test_more_iterations_than_larger_batches_take_are_no_end(resumed):
    assert "nothing is left" not in resumed(lambda meta: meta.update(iter=1000))


def test_another_batch_size(resumed):
    log = resumed(**{"train_dataloader.batch_size": 1})
    assert (
        "epoch_1.pth: was trained by 1 process with batch_size=2, 2 iterations an epoch; it goes "
        "on by 1 process with batch_size=1, 4 iterations an epoch. Learning rate and schedule"
    ) in log


def test_another_number_of_processes(resumed):
    def of_four(meta):
        meta[META_KEY].update(processes=4)

    assert "was trained by 4 processes with batch_size=2, 2 iterations" in resumed(of_four)


def test_accumulated_gradients(resumed):
    log = resumed(**{"optim_wrapper.accumulative_counts": 2})
    assert "it goes on by 1 process with batch_size=2, 2 batches a step, 2 iterations" in log


def test_a_checkpoint_without_the_record_tells_the_length_of_its_epochs(resumed):
    log = resumed(hooks=(), **{"train_dataloader.batch_size": 1})
    assert "was trained by 2 iterations an epoch; it goes on by 1 process with batch_size=1" in log


def test_loading_is_not_resuming(make_config):
    config = make_config(quant=None, hooks=(dict(type="ResumeHook"),))
    runner = Runner.from_cfg(config)
    runner.train()
    path = f"{runner.work_dir}/epoch_1.pth"
    assert torch.load(path, weights_only=True)["meta"][META_KEY] == vars(Steps(2, 1, 1, 2))
    changes = {"load_from": path, "train_dataloader.batch_size": 1}
    runner = Runner.from_cfg(
        make_config(quant=None, hooks=(dict(type="ResumeHook"),), changes=changes, work_dir="b")
    )
    runner.train()
    (log,) = Path(runner.work_dir).glob("*/*.log")
    assert "was trained by" not in log.read_text()
