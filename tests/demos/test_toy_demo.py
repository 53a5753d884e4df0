from pathlib import Path

import pytest

from lbwdet.comparison.compare import CompareSettings
from lbwdet.demos import toy_demo as module
from lbwdet.demos.toy_demo import demo
from lbwdet.errors import LBWError
from lbwdet.training.jobs import TrainingJob


@pytest.fixture
def trained(monkeypatch) -> list[TrainingJob]:
    """Jobs that were run; instead of training they write an empty checkpoint."""
    jobs: list[TrainingJob] = []

    def run(self, threads, on_progress):
        assert threads == 1
        if not self.checkpoint.is_file():
            jobs.append(self)
            for epoch in range(1, self.max_epochs + 1):
                on_progress(epoch / self.max_epochs)
            self.work_dir.mkdir(parents=True)
            self.checkpoint.touch()
        return self.checkpoint

    monkeypatch.setattr(TrainingJob, "run", run)
    return jobs


@pytest.fixture
def compared(monkeypatch) -> list[dict]:
    calls: list[dict] = []

    def compare(specs, out_dir, settings):
        calls.append(dict(specs=specs, out_dir=out_dir, settings=settings))
        return dict(models=[])

    monkeypatch.setattr(module, "compare", compare)
    monkeypatch.setattr(module, "markdown", lambda comparison: "the table")
    monkeypatch.setattr(
        module, "make_toy_dataset", lambda root, progress: Path(root).mkdir(exist_ok=True)
    )
    return calls


def test_trains_three_models_and_compares_them(trained, compared, tmp_path, capsys):
    root, work_dir = tmp_path / "my data", tmp_path / "my demo"
    assert demo(work_dir, root, threads=1) == dict(models=[])
    assert [Path(job.config).stem for job in trained] == [
        "lbw_frcnn_toy_fp32",
        "lbw_frcnn_toy_6bit",
        "lbw_frcnn_toy_4bit",
    ]
    float_checkpoint = str(work_dir / "float" / f"epoch_{trained[0].max_epochs}.pth")
    assert "load_from" not in trained[0].options
    assert {job.options["load_from"] for job in trained[1:]} == {float_checkpoint}
    for job in trained:
        for split in ("train", "val", "test"):
            assert job.options[f"{split}_dataloader.dataset.data_root"] == str(root)
    (call,) = compared
    assert [spec.name for spec in call["specs"]] == ["float", "6bit", "4bit"]
    assert [Path(spec.checkpoint) for spec in call["specs"]] == [j.checkpoint for j in trained]
    assert call["out_dir"] == work_dir
    assert call["settings"] == CompareSettings(threads=1, data_root=root)
    printed = capsys.readouterr()
    assert "the table" in printed.out and "report/index.html" in printed.out
    assert "[1/5] toy data in" in printed.err and "[5/5] comparison" in printed.err
    assert "[3/5] 6bit: training" in printed.err and "6bit  100/100  " in printed.err


def test_a_second_run_reuses_what_is_finished(trained, compared, tmp_path, capsys):
    for _ in range(2):
        demo(tmp_path / "demo", tmp_path / "data", threads=1)
    assert len(trained) == 3 and len(compared) == 2
    assert "[2/5] float: already trained" in capsys.readouterr().err


def test_a_failure_ends_it(compared, tmp_path, monkeypatch):
    def fail(self, threads, on_progress):
        raise LBWError("training failed")

    monkeypatch.setattr(TrainingJob, "run", fail)
    with pytest.raises(LBWError, match="training failed"):
        demo(tmp_path / "demo", tmp_path / "data", threads=1)
    assert not compared
