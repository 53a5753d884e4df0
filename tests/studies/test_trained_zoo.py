import json
from pathlib import Path

import pytest
import torch

from lbwdet.configs import load_config
from lbwdet.datasets.toy import make_toy_dataset
from lbwdet.errors import ConfigError
from lbwdet.layers import input_quantizers
from lbwdet.studies import trained_zoo
from lbwdet.studies.trained_zoo import SUBJECTS, run_trained_zoo
from lbwdet.training.build import build_model
from lbwdet.training.jobs import TrainingJob


@pytest.fixture
def jobs(tmp_path, monkeypatch) -> list[TrainingJob]:
    """The trainings that were run; each writes random weights as its checkpoint."""
    run: list[TrainingJob] = []

    def pretend(self: TrainingJob, threads: int) -> Path:
        if self.checkpoint.is_file():
            return self.checkpoint
        run.append(self)
        torch.manual_seed(0)
        model = build_model(load_config(self.config))
        for quantizer in input_quantizers(model).values():
            quantizer.calibrated.fill_(1.0)
        self.work_dir.mkdir(parents=True)
        torch.save(dict(state_dict=model.state_dict()), self.checkpoint)
        return self.checkpoint

    monkeypatch.setattr(TrainingJob, "run", pretend)
    monkeypatch.setattr(
        trained_zoo,
        "make_toy_dataset",
        lambda root, progress: make_toy_dataset(root, num_trainval=2, num_test=1),
    )
    monkeypatch.setattr(trained_zoo, "IMAGES", 2)
    return run


def keys(content: dict) -> list[tuple[str, str, str]]:
    return [(row["detector"], row["variant"], row["kind"]) for row in content["rows"]]


EXPECTED = [
    ("mask_rcnn", "fp32", "float"),
    ("mask_rcnn", "w4a8", "fake-quantized"),
    ("mask_rcnn", "w4a8", "deployed"),
]


def test_trains_quantizes_and_deploys_once(jobs, tmp_path, monkeypatch):
    out, runs, data = tmp_path / "out.json", tmp_path / "runs", tmp_path / "toy"
    content = run_trained_zoo(out, runs, data, ["mask_rcnn"], threads=1)
    assert keys(content) == EXPECTED and json.loads(out.read_text()) == content
    first, second = jobs
    assert second.options["load_from"] == str(first.checkpoint)
    assert {Path(job.config).stem for job in jobs} == {
        f"lbw_mask_rcnn_toy_{variant}" for variant in ("fp32", "w4a8")
    }
    for job in jobs:  # nothing is read from where the config's own data set would be
        cfg = load_config(job.config, job.options)
        assert Path(cfg.val_evaluator.ann_file) == data / "annotations/test.json"
        assert cfg.val_dataloader.dataset.data_root == str(data)
    for row in content["rows"]:
        assert {"mAP_area", "mAP_11point", "box_AP", "box_AP50", "mask_AP", "mask_AP50"} <= set(row)
        assert row["num_images"] == 1 and row["seconds"] >= 0
    float_row, _, deployed = content["rows"]
    assert deployed["bytes"] == (runs / "mask_rcnn/w4a8.lbw").stat().st_size
    assert 4 * deployed["bytes"] < float_row["bytes"]

    # A row that is missing is made from what is there; the others stay.
    out.write_text(json.dumps(dict(content, rows=content["rows"][:2])))
    again = run_trained_zoo(out, runs, data, ["mask_rcnn"], threads=1)
    assert keys(again) == EXPECTED and len(jobs) == 2
    monkeypatch.setattr(trained_zoo, "detect_all", None)
    assert run_trained_zoo(out, runs, data, ["mask_rcnn"], threads=1) == again


def test_rows_stand_in_the_order_of_the_subjects(tmp_path):
    results = trained_zoo._Results(tmp_path / "new" / "out.json")
    for name in reversed(SUBJECTS):
        results.add(dict(detector=name, variant="fp32", kind="float"))
    assert [row["detector"] for row in results.content["rows"]] == list(SUBJECTS)


def test_an_unknown_detector_lists_the_known_ones(tmp_path):
    with pytest.raises(ConfigError, match=r"\['nodet'\]: not in this study; choose from retinanet"):
        run_trained_zoo(tmp_path / "out.json", only=["fcos", "nodet"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=list(SUBJECTS))
def test_every_subject_has_its_configs(subject):
    assert bool(subject.projected) != bool(subject.trained)
    for variant in ("fp32", "fp32-finetuned", *subject.trained):
        assert Path(subject.file(variant)).is_file()
