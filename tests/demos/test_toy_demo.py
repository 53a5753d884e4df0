import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from lbwdet.comparison.compare import CompareSettings
from lbwdet.demos import toy_demo as module
from lbwdet.demos.toy_demo import demo
from lbwdet.errors import ConfigError, LBWError
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
                on_progress(0.95 * epoch / self.max_epochs)
            self.work_dir.mkdir(parents=True)
            self.checkpoint.touch()
        return self.checkpoint

    monkeypatch.setattr(TrainingJob, "run", run)
    return jobs


def measured(name: str, engine: str, median: float, size: int, accuracy: float) -> dict:
    latency = dict(median=median)
    return dict(
        name=name, engine=engine, latency_ms=latency, weight_bytes=size, mAP_11point=accuracy
    )


COMPARISON = dict(
    models=[
        measured("float", "torch", 26.0, 9000, 0.8),
        measured("6bit", "torch", 27.0, 2000, 0.79),
        measured("6bit deployed", "native", 2.0, 1800, 0.785),
    ]
)


@pytest.fixture
def exported(monkeypatch) -> list[dict]:
    """Exports that were asked for; each writes an empty file."""
    calls: list[dict] = []

    def export(config, checkpoint, out, settings):
        calls.append(dict(config=config, checkpoint=checkpoint, out=out, settings=settings))
        Path(out).touch()
        return SimpleNamespace(summary=lambda: "30 layers")

    monkeypatch.setattr(module, "export", export)
    return calls


@pytest.fixture
def compared(monkeypatch, exported) -> list[dict]:
    calls: list[dict] = []

    def compare(specs, out_dir, settings):
        calls.append(dict(specs=specs, out_dir=out_dir, settings=settings))
        return COMPARISON

    monkeypatch.setattr(module, "compare", compare)
    monkeypatch.setattr(module, "markdown", lambda comparison: "the table")
    monkeypatch.setattr(
        module, "make_toy_dataset", lambda root, progress: Path(root).mkdir(exist_ok=True)
    )
    return calls


def test_trains_three_models_deploys_two_and_compares_all(
    trained, exported, compared, tmp_path, capsys
):
    root, work_dir = tmp_path / "my data", tmp_path / "my demo"
    assert demo(work_dir, root, threads=1) == COMPARISON
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
    specs, deployed = call["specs"][:3], call["specs"][3:]
    assert [spec.name for spec in specs] == ["float", "6bit", "4bit"]
    assert [Path(spec.checkpoint) for spec in specs] == [j.checkpoint for j in trained]
    assert [spec.name for spec in deployed] == ["6bit deployed", "4bit deployed"]
    assert {spec.engine for spec in deployed} == {"native"}
    for spec, ask, job in zip(deployed, exported, trained[1:], strict=True):
        assert Path(spec.path) == ask["out"] == work_dir / f"{spec.name.split()[0]}.lbw"
        assert (ask["config"], Path(ask["checkpoint"])) == (job.config, job.checkpoint)
        assert (ask["settings"].calibrate, ask["settings"].data_root) == ("train", str(root))
    assert call["out_dir"] == work_dir
    assert call["settings"] == CompareSettings(threads=1, data_root=root)
    printed = capsys.readouterr()
    assert "the table" in printed.out and "report/index.html" in printed.out
    assert "6bit deployed: 13.0 times as fast as float in PyTorch, 5.0 times smaller" in printed.out
    assert ", mAP (11-point) -1.5\n" in printed.out
    assert "[1/6] toy data in" in printed.err and "[6/6] comparison" in printed.err
    assert "[3/6] 6bit: training" in printed.err and "[5/6] artifacts" in printed.err
    for name in ("float", "6bit", "4bit"):
        lines = [line for line in printed.err.splitlines() if line.startswith(f"{name}  ")]
        assert lines[-1].startswith(f"{name}  100/100  ")  # though the last log line is earlier


def test_a_second_run_reuses_what_is_finished(trained, exported, compared, tmp_path, capsys):
    for _ in range(2):
        demo(tmp_path / "demo", tmp_path / "data", threads=1)
    assert len(trained) == 3 and len(exported) == 2 and len(compared) == 2
    newer = (tmp_path / "demo" / "6bit.lbw").stat().st_mtime + 10
    os.utime(trained[1].checkpoint, (newer, newer))
    demo(tmp_path / "demo", tmp_path / "data", threads=1)
    assert [ask["out"].name for ask in exported] == ["6bit.lbw", "4bit.lbw", "6bit.lbw"]
    assert "[2/6] float: already trained" in capsys.readouterr().err


def test_a_failure_ends_it(compared, tmp_path, monkeypatch):
    def fail(self, threads, on_progress):
        raise LBWError("training failed")

    monkeypatch.setattr(TrainingJob, "run", fail)
    with pytest.raises(LBWError, match="training failed"):
        demo(tmp_path / "demo", tmp_path / "data", threads=1)
    assert not compared


def test_a_package_without_the_configs(tmp_path, monkeypatch):
    monkeypatch.setattr("lbwdet.demos.toy_demo.OWN_CONFIGS", tmp_path / "configs")
    with pytest.raises(ConfigError, match="in a checkout of the repository"):
        demo(tmp_path / "demo", tmp_path / "data", threads=1)
    assert not (tmp_path / "data").exists()
