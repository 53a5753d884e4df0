import copy
import functools
import json
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.config import Config

from lbwdet.configs import load_config
from lbwdet.errors import ConfigError
from lbwdet.layers import quantized_layers
from lbwdet.studies import experiment as module
from lbwdet.studies.experiment import (
    EXPERIMENTS,
    Experiment,
    ExperimentSettings,
    _Results,
    run_experiment,
    width_options,
)
from lbwdet.studies.weight_settings import with_weight_settings
from lbwdet.testing import write_tiny_voc
from lbwdet.training.build import build_model
from lbwdet.training.jobs import TrainingJob

SMALL = Experiment(
    dataset="toy",
    base="fp32",
    variants=("fp32-finetuned", "4bit"),
    rounded={"2bit": dict(bit_width=2)},
)
# Reading a config takes longer than all else here; they do not change meanwhile.
loaded = functools.cache(load_config)
BITS = {"fp32": 32, "fp32-finetuned": 32, "4bit": 4, "2bit": 2}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the toy model with 8 channels in its first stage."""
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.manual_seed(0)
    model = build_model(load_config(SMALL.config("fp32"), width_options(8)))
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


@pytest.fixture
def jobs(weights, tmp_path, monkeypatch) -> list[TrainingJob]:
    """The trainings that were run; each writes the random weights as its checkpoint."""
    run: list[TrainingJob] = []

    def pretend(self: TrainingJob, threads: int) -> Path:
        if not self.checkpoint.is_file():
            run.append(self)
            self.work_dir.mkdir(parents=True)
            self.checkpoint.write_bytes(weights.read_bytes())
        return self.checkpoint

    monkeypatch.setattr(TrainingJob, "run", pretend)
    for place in ("studies.experiment", "training.jobs"):
        monkeypatch.setattr(f"lbwdet.{place}.load_config", reload)
    monkeypatch.setitem(EXPERIMENTS, "small", SMALL)
    # The toy config has its data below the working directory.
    write_tiny_voc(tmp_path / "data" / "toy", num_trainval=1, num_test=1)
    monkeypatch.chdir(tmp_path)
    return run


def reload(path: str, options: Mapping[str, Any] | None = None) -> Config:
    cfg = copy.deepcopy(loaded(path))
    cfg.merge_from_dict(dict(options or {}))
    return cfg


def keys(content: dict) -> list[tuple[str, str, int]]:
    return [(row["kind"], row["variant"], row["seed"]) for row in content["rows"]]


def test_trains_and_measures_each_variant_from_its_own_seed(jobs, tmp_path):
    out = tmp_path / "out.json"
    settings = ExperimentSettings(seeds=(0, 3), width=8, jobs=2)
    content = run_experiment("small", out, tmp_path / "runs", settings)
    assert keys(content) == [
        ("trained", "fp32-finetuned", 0),
        ("trained", "fp32-finetuned", 3),
        ("trained", "4bit", 0),
        ("trained", "4bit", 3),
        ("scratch", "fp32", 0),
        ("scratch", "fp32", 3),
        ("rounded", "2bit", 0),
        ("rounded", "2bit", 3),
    ]
    assert json.loads(out.read_text()) == content
    for row in content["rows"]:
        assert row["bit_width"] == BITS[row["variant"]]
        assert row["num_images"] == 1 and row["weight_bytes"] <= row["float_bytes"]
    for job in jobs:
        seed, variant = job.work_dir.parent.name, job.work_dir.name
        assert seed == f"seed{job.options['randomness.seed']}"
        if variant == "fp32":
            assert "load_from" not in job.options
        else:
            base = load_config(SMALL.config("fp32")).train_cfg.max_epochs
            assert job.options["load_from"] == str(
                tmp_path / "runs" / seed / "fp32" / f"epoch_{base}.pth"
            )
        assert job.options["model.backbone.base_channels"] == 8

    count = len(jobs)
    settings = ExperimentSettings(seeds=(0, 3), width=8)
    again = run_experiment("small", out, tmp_path / "runs", settings)
    assert len(jobs) == count and again == content
    with pytest.raises(ConfigError, match="holds results for width 8, not 64"):
        run_experiment("small", out, tmp_path / "runs")
    out.write_text(json.dumps(content | dict(dataset="bccd")))
    with pytest.raises(ConfigError, match="holds results for dataset bccd, not toy"):
        run_experiment("small", out, tmp_path / "runs", settings)


def test_a_published_detector_is_trained_on_from_weights_that_images_chose(jobs, monkeypatch):
    measured, projected = [], []

    def measure(self: _Results, kind: str, variant: str, seed: int, *rest: Any) -> None:
        measured.append((kind, variant, seed))

    def post_train(
        config: str,
        checkpoint: Path,
        images: str,
        out: Path,
        weight: dict,
        activation: dict,
        **_: Any,
    ):
        projected.append((Path(config).stem, str(checkpoint), images, weight, activation))
        return SimpleNamespace(checkpoint=out / "chosen.pth")

    monkeypatch.setattr(_Results, "measure", measure)
    monkeypatch.setattr(module, "post_train_detector", post_train)
    variants = ("w4a8", "fp32-finetuned", "6bit-nearest")
    settings = ExperimentSettings(seeds=(1, 2), variants=variants)
    run_experiment("voc-sample_yolox_nano", "o.json", "runs", settings)
    published = "work_dirs/yolox_nano_voc-sample.pth"
    weight = dict(bit_width=4, code="dense", granularity="channel")
    activation = dict(bit_width=8, granularity="channel")
    assert projected == [("lbw_yolox_nano_voc-sample_fp32", published, "train", weight, activation)]
    assert measured == [
        ("published", "fp32", 0),
        ("trained", "fp32-finetuned", 1),
        ("trained", "fp32-finetuned", 2),
        ("trained", "6bit-nearest", 1),
        ("trained", "6bit-nearest", 2),
        ("trained", "w4a8", 1),
        ("trained", "w4a8", 2),
        ("projected", "w4a8", 0),
    ]
    assert [(job.work_dir.as_posix(), job.options["load_from"]) for job in jobs] == [
        ("runs/seed1/fp32-finetuned", published),
        ("runs/seed2/fp32-finetuned", published),
        ("runs/seed1/6bit-nearest", published),
        ("runs/seed2/6bit-nearest", published),
        ("runs/seed1/w4a8", "runs/projected/w4a8/chosen.pth"),
        ("runs/seed2/w4a8", "runs/projected/w4a8/chosen.pth"),
    ]


def test_schemes_start_from_the_same_levels(jobs, monkeypatch):
    measured, projected = [], []

    def measure(self: _Results, kind: str, variant: str, seed: int, *rest: Any) -> None:
        measured.append((kind, variant, seed))

    def post_train(_: str, checkpoint: Path, images: str, out: Path, weight: dict, **rest: Any):
        projected.append((out.name, weight["bit_width"], rest["activation"]))
        return SimpleNamespace(checkpoint=out / "chosen.pth")

    monkeypatch.setattr(_Results, "measure", measure)
    monkeypatch.setattr(module, "post_train_detector", post_train)
    variants = ("3bit", "3bit-moving", "3bit_bcgd", "w3a4_relu", "2bit_binary-relax")
    settings = ExperimentSettings(seeds=(0,), variants=variants)
    run_experiment("voc-sample_yolox_nano", "o.json", "runs", settings)
    assert set(projected) == {("3bit", 3, None), ("2bit", 2, None)}
    assert {job.work_dir.name: job.options["load_from"] for job in jobs} == {
        variant: f"runs/projected/{bits}bit/chosen.pth"
        for variant, bits in zip(variants, (3, 3, 3, 3, 2), strict=True)
    }
    assert [row for row in measured if row[0] == "projected"] == [
        ("projected", "3bit", 0),
        ("projected", "2bit", 0),
    ]


def test_each_seed_has_its_own_start(jobs, monkeypatch):
    measured, projected = [], []

    def measure(self: _Results, kind: str, variant: str, seed: int, *rest: Any) -> None:
        measured.append((kind, variant, seed))

    def post_train(config: str, checkpoint: Path, *_: Any, num: int, **__: Any):
        widths = load_config(config).model.backbone.get("base_channels")
        projected.append((Path(checkpoint).as_posix(), num, widths))
        return SimpleNamespace(checkpoint=Path(checkpoint).with_name("chosen.pth"))

    monkeypatch.setattr(_Results, "measure", measure)
    monkeypatch.setattr(module, "post_train_detector", post_train)
    settings = ExperimentSettings(seeds=(1, 2), variants=("6bit",), width=8)
    run_experiment("bccd_projected", "o.json", "runs", settings)
    floats = [f"runs/seed{seed}/fp32/epoch_12.pth" for seed in (1, 2)]
    assert projected == [(path, 64, 8) for path in floats]
    assert [job.options["load_from"] for job in jobs[2:]] == [
        path.replace("epoch_12", "chosen") for path in floats
    ]
    assert measured == [
        (kind, variant, seed)
        for kind, variant in (("trained", "6bit"), ("scratch", "fp32"), ("projected", "6bit"))
        for seed in (1, 2)
    ]


def test_levels_of_the_float_variant_that_was_trained_on(jobs, monkeypatch, tmp_path):
    measured, projected = [], []

    def measure(self: _Results, kind: str, variant: str, seed: int, *rest: Any) -> None:
        measured.append((kind, variant, seed, self._of(kind)))

    def post_train(config: str, checkpoint: Path, images: str, out: Path, weight: dict, **_: Any):
        projected.append((Path(checkpoint).as_posix(), out.as_posix(), weight["bit_width"]))
        return SimpleNamespace(checkpoint=out / "chosen.pth")

    monkeypatch.setattr(_Results, "measure", measure)
    monkeypatch.setattr(module, "post_train_detector", post_train)
    settings = ExperimentSettings(seeds=(1,), variants=("6bit", "4bit"))
    run_experiment("voc-sample_frcnn_lite0", "o.json", "runs", settings)
    tuned = "runs/seed1/fp32-finetuned/epoch_1.pth"
    assert projected == [(tuned, f"runs/seed1/projected/{bits}bit", bits) for bits in (6, 4)]
    assert [job.work_dir.name for job in jobs] == ["fp32", "fp32-finetuned"]
    assert jobs[1].options["load_from"] == "runs/seed1/fp32/epoch_8.pth"
    assert measured == [
        ("trained", "fp32-finetuned", 1, {}),
        ("scratch", "fp32", 1, {}),
        ("projected", "6bit", 1, {"of": "fp32-finetuned"}),
        ("projected", "4bit", 1, {"of": "fp32-finetuned"}),
    ]


def test_published_weights_have_their_width(tmp_path):
    with pytest.raises(ConfigError, match="published weights, whose width is what it is"):
        run_experiment("voc-sample_yolox_nano", None, tmp_path, ExperimentSettings(width=8))
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_starts_no_more_trainings(jobs, tmp_path, monkeypatch):
    pretend = TrainingJob.run

    def slowly(self: TrainingJob, threads: int) -> Path:
        time.sleep(0.2)
        return pretend(self, threads)

    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingJob, "run", slowly)
    monkeypatch.setattr("lbwdet.studies.experiment._Results.measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        settings = ExperimentSettings(seeds=range(9), width=8)
        run_experiment("small", tmp_path / "o.json", tmp_path / "runs", settings)
    assert 9 < len(jobs) < 18  # all float ones, and a few of the eighteen others


def test_only_some_variants(jobs, tmp_path):
    settings = ExperimentSettings(seeds=[1], variants=["4bit"], width=8)
    content = run_experiment("small", tmp_path / "o.json", tmp_path / "runs", settings)
    assert keys(content) == [
        ("trained", "4bit", 1),
        ("scratch", "fp32", 1),
        ("rounded", "2bit", 1),
    ]


def test_unknown_names_list_the_known_ones(tmp_path):
    with pytest.raises(ConfigError, match="'coco' is not known; choose from bccd, bccd_projected"):
        run_experiment("coco", tmp_path / "o.json", tmp_path)
    with pytest.raises(ConfigError, match=r"\['7bit'\] are not of bccd: fp32-finetuned, 6bit"):
        settings = ExperimentSettings(variants=["6bit", "7bit"])
        run_experiment("bccd", tmp_path / "o.json", tmp_path, settings)
    assert list(tmp_path.iterdir()) == []


def test_two_processes_share_one_file(tmp_path, weights, jobs):
    """Each has read the file before the other one wrote to it."""
    path = tmp_path / "o.json"
    first, second = _Results(path, SMALL, 8), _Results(path, SMALL, 8)
    first.measure("scratch", "fp32", 0, SMALL.config("fp32"), weights)
    second.measure("scratch", "fp32", 1, SMALL.config("fp32"), weights)
    second.measure("scratch", "fp32", 0, SMALL.config("fp32"), Path("not needed"))
    assert keys(json.loads(path.read_text())) == [("scratch", "fp32", 0), ("scratch", "fp32", 1)]


def test_a_result_that_another_process_was_quicker_with(tmp_path, weights, jobs, monkeypatch):
    slow, quick = (_Results(tmp_path / "o.json", SMALL, 8) for _ in range(2))
    measured = module.evaluate

    def overtaken(*arguments):
        monkeypatch.setattr(module, "evaluate", measured)
        quick.measure("scratch", "fp32", 0, SMALL.config("fp32"), weights)
        return measured(*arguments)

    monkeypatch.setattr(module, "evaluate", overtaken)
    slow.measure("scratch", "fp32", 0, SMALL.config("fp32"), weights)
    assert len(json.loads((tmp_path / "o.json").read_text())["rows"]) == 1


def test_width_64_is_the_real_r18():
    options = dict(width_options(32), **{key: _double(v) for key, v in width_options(32).items()})
    with torch.device("meta"):
        real = build_model(load_config(EXPERIMENTS["bccd"].config("fp32"))).state_dict()
        doubled = build_model(load_config(EXPERIMENTS["bccd"].config("fp32"), options)).state_dict()
    assert width_options(64) == {}
    assert {k: v.shape for k, v in real.items()} == {k: v.shape for k, v in doubled.items()}


def _double(value):
    return [2 * entry for entry in value] if isinstance(value, list) else 2 * value


def test_rounded_models_have_the_settings_asked_for():
    cfg = load_config(EXPERIMENTS["bccd"].config("2bit"), width_options(8))
    cfg = with_weight_settings(cfg, dict(bit_width=4, solver="threshold"))
    with torch.device("meta"):
        layers = quantized_layers(build_model(cfg))
    settings = {(q.bit_width, q.solver) for q in (layer.quantizer for layer in layers.values())}
    assert settings == {(4, "threshold")}
