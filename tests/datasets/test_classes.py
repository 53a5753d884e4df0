"""Class names: read as MMEngine reads them, and compared wherever two say them."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from lbwdet.cli import main
from lbwdet.datasets import LBWVOCDataset
from lbwdet.datasets.classes import (
    check_classes,
    checkpoint_classes,
    config_classes,
    dataset_classes,
    join_metainfo,
    read_names,
)
from lbwdet.errors import CheckpointError, ConfigError
from lbwdet.testing import TINY_CLASSES, tiny_config, write_tiny_voc
from lbwdet.training.build import build_model


def voc(*classes: str, **more: Any) -> dict[str, Any]:
    metainfo = dict(classes=classes) if classes else {}
    return dict(type="VOCDataset", metainfo=metainfo, **more)


def joined(*parts: dict[str, Any], kind: str = "ConcatDataset") -> dict[str, Any]:
    return dict(type=kind, datasets=list(parts))


# What a data set names


class TestNames:
    def test_of_a_tuple_and_of_a_list(self):
        assert read_names(("a", "b"), "here") == read_names(["a", "b"], "here") == ("a", "b")

    def test_of_a_file(self, tmp_path):
        path = tmp_path / "classes.txt"
        path.write_text("a cat\nb\n")
        assert read_names(str(path), "here") == ("a cat", "b")
        metainfo = LBWVOCDataset._load_metainfo(dict(classes=str(path)))
        assert metainfo["classes"] == ("a cat", "b")

    @pytest.mark.parametrize("text", ["disc", "no/such/classes.txt", ".", ""])
    def test_of_a_text_that_is_no_file(self, text):
        message = r"here: classes='.*' is a text and no file .* write classes=\('.*',\) with a com"
        with pytest.raises(ConfigError, match=message):
            read_names(text, "here")
        with pytest.raises(ConfigError, match=r"LBWVOCDataset: classes='.*' is a text"):
            LBWVOCDataset._load_metainfo(dict(classes=text))

    @pytest.mark.parametrize("classes", [(), 3, dict(a=1), ("a", 2), [None]])
    def test_that_are_none(self, classes):
        with pytest.raises(ConfigError, match="write a tuple of names"):
            read_names(classes, "here")

    def test_given_twice(self):
        with pytest.raises(ConfigError, match=r"classes has \['a'\] more than once"):
            read_names(("a", "b", "a"), "here")


class TestDataSet:
    def test_own_names_and_those_of_its_type(self):
        assert dataset_classes(voc("a"), "here") == ("a",)
        assert dataset_classes(voc(), "here")[:2] == ("aeroplane", "bicycle")
        assert dataset_classes(dict(type="mmdet.CocoDataset"), "here")[0] == "person"
        assert dataset_classes(dict(type=LBWVOCDataset), "here")[0] == "aeroplane"
        assert dataset_classes(dict(type="NoSuchDataset"), "here") is None

    def test_inside_wrappers(self):
        repeated = dict(type="RepeatDataset", times=2, dataset=joined(voc("a"), voc("a")))
        assert dataset_classes(repeated, "here") == ("a",)

    def test_parts_that_differ(self):
        message = r"here: its parts name different classes, part 0 \['a', 'b'\] and part 1 \['b',"
        with pytest.raises(ConfigError, match=message):
            dataset_classes(joined(voc("a", "b"), voc("b", "a")), "here")

    def test_a_part_that_names_none(self):
        assert dataset_classes(joined(voc("a"), dict(type="NoSuch")), "here") is None

    def test_of_videos(self):
        assert dataset_classes(dict(type="MOTChallengeDataset"), "here") is None

    def test_the_spelling_of_mmdetection_2(self):
        with pytest.raises(ConfigError, match=r"metainfo has CLASSES, .* write classes"):
            dataset_classes(dict(type="VOCDataset", metainfo=dict(CLASSES=("a",))), "here")


class TestConfig:
    def config(self, **datasets: Any) -> Config:
        return Config({f"{split}_dataloader": dict(dataset=d) for split, d in datasets.items()})

    def test_splits_agree(self):
        cfg = self.config(train=voc("a", "b"), val=voc("a", "b"), test=voc("b"))
        assert config_classes(cfg, ("train", "val")) == ("a", "b")
        assert config_classes(cfg, ("test",)) == ("b",)
        with pytest.raises(ConfigError, match=r"train data set has the classes \['a', 'b'\], the"):
            config_classes(cfg, ("train", "test"))

    def test_of_many_names_the_first_difference_is_shown(self):
        names = tuple(f"name {number}" for number in range(80))
        other = (*names[:50], "another", *names[51:])
        message = r"'name 10', \.\.\. \(80\)\].*label 50 is 'name 50' in the former, 'another' in"
        with pytest.raises(ConfigError, match=message):
            config_classes(self.config(train=voc(*names), val=voc(*other)), ("train", "val"))

    def test_none(self):
        assert config_classes(Config(dict(test_dataloader=None)), ("train", "test")) is None

    def test_parts_that_are_measured_one_by_one_may_differ(self):
        cfg = self.config(test=joined(voc("a"), voc("b")))
        cfg.test_evaluator = dict(type="MultiDatasetsEvaluator", dataset_prefixes=["a", "b"])
        assert config_classes(cfg, ("test",)) is None


class TestCheckpoint:
    @pytest.mark.parametrize(
        "meta",
        [
            dict(dataset_meta=dict(classes=["a", "b"])),
            dict(dataset_meta=dict(CLASSES=("a", "b"))),
            dict(CLASSES=("a", "b")),
            dict(dataset_meta=[dict(classes=("a", "b"), palette=1), dict(classes=["a", "b"])]),
        ],
    )
    def test_wherever_they_are(self, meta):
        assert checkpoint_classes(meta, "a.pth") == ("a", "b")

    @pytest.mark.parametrize(
        "meta", [{}, [], dict(epoch=3), dict(dataset_meta="x"), dict(dataset_meta=dict(palette=1))]
    )
    def test_nowhere(self, meta):
        assert checkpoint_classes(meta, "a.pth") is None

    def test_of_parts_that_differ(self):
        meta = dict(dataset_meta=[dict(classes=("a",)), dict(classes=("b",))])
        with pytest.raises(CheckpointError, match=r"a\.pth: trained on data sets with different"):
            checkpoint_classes(meta, "a.pth")

    def test_a_text_is_not_followed(self, tmp_path, monkeypatch):
        """It is of whoever made the file, and names a pipe, a URL, any file of the reader's."""
        monkeypatch.setattr("lbwdet.datasets.classes.list_from_file", lambda name: ["followed"])
        for meta in (dict(CLASSES="/dev/zero"), dict(dataset_meta=dict(classes="http://a/b"))):
            with pytest.raises(CheckpointError, match=r"a\.pth: its classes are a text, '.*', and"):
                checkpoint_classes(meta, "a.pth")

    def test_a_million_names_take_no_hours(self):
        names = [str(number) for number in range(200_000)]
        assert len(checkpoint_classes(dict(CLASSES=names), "a.pth")) == 200_000


class TestHeads:
    def check(self, num_classes: int, *classes: str, model="faster-rcnn_r50_fpn", **changes):
        head = "model.roi_head.bbox_head" if "rcnn" in model else "model.bbox_head"
        cfg = tiny_config("d", "w", model=model, changes={f"{head}.num_classes": num_classes})
        cfg.test_dataloader.dataset = voc(*classes)
        cfg.merge_from_dict(changes)
        with torch.device("meta"):
            built = build_model(cfg)
        return check_classes(cfg, built)

    @pytest.mark.parametrize("model", ["faster-rcnn_r50_fpn", "retinanet_r50_fpn"])
    def test_as_many_as_the_data_set(self, model):
        assert self.check(2, "a", "b", model=model) == ("a", "b")
        assert len(self.check(20, model=model)) == 20
        for count in (3, 20):
            message = rf"bbox_head \(\w+\) has num_classes={count}, but the test data set names 6"
            with pytest.raises(ConfigError, match=message):
                self.check(count, *"abcdef", model=model)

    @pytest.mark.parametrize("kind", ["RPN", "FasterRCNN"])
    def test_proposals_are_of_no_class(self, kind):
        cfg = tiny_config("d", "w")
        if kind == "RPN":
            cfg.model.pop("roi_head")
            cfg.merge_from_dict({"model.type": "RPN", "model.test_cfg.rcnn": None})
        with torch.device("meta"):
            assert check_classes(cfg, build_model(cfg)) == TINY_CLASSES

    def test_words_of_a_prompt(self):
        """Models that read them take other classes for training and testing."""
        cfg = tiny_config("d", "w")
        cfg.val_dataloader = dict(dataset=voc("others"))
        with torch.device("meta"):
            model = build_model(cfg)
        with pytest.raises(ConfigError, match="the train data set has the classes"):
            check_classes(cfg, model, ("train", "val"))
        model.language_model = torch.nn.Identity()
        assert check_classes(cfg, model, ("train", "val")) == ("others",)

    def test_without_a_data_set_the_checkpoint_says_how_many(self):
        cfg = tiny_config("d", "w", changes={"test_dataloader": None})
        with torch.device("meta"):
            model = build_model(cfg)
        assert check_classes(cfg, model) == ()
        assert check_classes(cfg, model, meta=dict(CLASSES=("a", "b"))) == ("a", "b")
        with pytest.raises(ConfigError, match=r"num_classes=2, but a\.pth names 3 classes"):
            check_classes(cfg, model, meta=dict(CLASSES=("a", "b", "c")), checkpoint="a.pth")


def test_one_metainfo_of_parts_with_the_same_names(tmp_path):
    root = write_tiny_voc(tmp_path / "data", num_trainval=2, num_test=1)
    cfg = tiny_config(root, tmp_path / "run")
    part = cfg.train_dataloader.dataset
    other = {**part, "metainfo": dict(classes=list(TINY_CLASSES), palette=[(1, 2, 3), (4, 5, 6)])}
    cfg.train_dataloader.dataset = joined(part, other)
    assert isinstance(Runner.build_dataloader(cfg.train_dataloader).dataset.metainfo, list)
    join_metainfo(cfg, ("train", "val"))
    metainfo = Runner.build_dataloader(cfg.train_dataloader).dataset.metainfo
    assert metainfo["classes"] == TINY_CLASSES
    assert "ignore_keys" not in cfg.val_dataloader.dataset


# The commands


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A config of two classes and data, and a checkpoint that was trained on the same two."""
    folder = tmp_path_factory.mktemp("classes")
    root = write_tiny_voc(folder / "data", num_trainval=2, num_test=1)
    config = tiny_config(root, "unused")
    for key in ("work_dir", "experiment_name"):
        config.pop(key)
    config.dump(folder / "tiny.py")
    state = build_model(config).state_dict()
    image = next((root / "VOC2007" / "JPEGImages").glob("*.jpg"))
    case = SimpleNamespace(config=str(folder / "tiny.py"), folder=folder, image=str(image))
    for name, classes in (("same", TINY_CLASSES), ("swapped", TINY_CLASSES[::-1])):
        path = folder / f"{name}.pth"
        torch.save(dict(state_dict=state, meta=dict(dataset_meta=dict(classes=classes))), path)
        setattr(case, name, str(path))
    return case


@pytest.fixture
def refused(case, tmp_path, monkeypatch, capsys) -> Callable[..., str]:
    """Runs a command that must end with code 2 and one sentence, with nothing written."""

    def run(*words: str) -> str:
        (tmp_path / "empty").mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / "empty")
        assert main(words) == 2
        printed = capsys.readouterr().err
        assert printed.count("error: ") == 1 and "Traceback" not in printed
        assert list(Path().iterdir()) == []
        return printed.partition("error: ")[2]

    return run


def commands(case: SimpleNamespace, config: str, checkpoint: str) -> dict[str, list[str]]:
    return {
        "train": ["train", config, "--cfg-options", f"load_from='{checkpoint}'"],
        "resume": ["train", config, "--resume", checkpoint],
        "test": ["test", config, checkpoint],
        "export": ["export", config, checkpoint, "--out", "a.lbw", "--calibrate", case.image],
        "compare": ["compare", f"a={config}:{checkpoint}", "--out", "out"],
        "image-demo": ["image-demo", case.image, config, checkpoint],
        "inspect": ["inspect", config, checkpoint],
        "quantize": [
            *("quantize", config, "--bit-width", "4", "--out", "q.py", "--no-map"),
            *("--checkpoint", checkpoint),
        ],
    }


NAMES = list(commands(SimpleNamespace(image=""), "", ""))


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_of_the_same_classes_in_another_order(case, refused, name):
    message = refused(*commands(case, case.config, case.swapped)[name])
    assert "swapped.pth: trained on the classes ['green', 'red'], but" in message
    assert "['red', 'green'], the same in another order; give" in message


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("red", "classes='red' is a text and no file of names; for a single class write classes=("),
        (["red"], "has num_classes=2, but the"),
        (["red", "green", "blue"], "has num_classes=2, but the"),
        (["red", "red"], "classes has ['red'] more than once"),
    ],
    ids=["a missing comma", "a part of them", "more", "twice"],
)
def test_data_sets_with_other_names(case, refused, name, classes, message):
    cfg = Config.fromfile(case.config)
    for split in ("train", "val", "test"):
        cfg[f"{split}_dataloader"].dataset.metainfo.classes = classes
    changed = case.folder / "changed.py"
    cfg.dump(changed)
    assert message in refused(*commands(case, str(changed), case.same)[name])


def test_parts_that_differ_do_not_begin_to_train(case, refused):
    cfg = Config.fromfile(case.config)
    part = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = joined(part, {**part, "metainfo": dict(classes=("red", "x"))})
    cfg.dump(case.folder / "parts.py")
    message = refused("train", str(case.folder / "parts.py"))
    assert "train data set: its parts name different classes" in message


def test_training_from_other_classes_on_demand(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    start = [f"load_from='{case.swapped}'", "val_cfg=None", "val_dataloader=None"]
    start += ["val_evaluator=None", "experiment_name=partial", "visualizer.name=partial"]
    assert main(["train", case.config, "--partial", "--cfg-options", *start]) == 0


def test_names_from_a_file_and_concatenated_parts_all_the_way(case, tmp_path, monkeypatch, capsys):
    """Trained on two parts whose palettes differ; its checkpoint is tested, compared and drawn."""
    monkeypatch.chdir(tmp_path)
    Path("classes.txt").write_text("red\ngreen\n")
    cfg = Config.fromfile(case.config)
    for split in ("train", "val", "test"):
        part = cfg[f"{split}_dataloader"].dataset
        part.metainfo = dict(classes="classes.txt")
        other = {**part, "metainfo": dict(classes=TINY_CLASSES, palette=[(1, 2, 3), (4, 5, 6)])}
        cfg[f"{split}_dataloader"].dataset = joined(part, other)
    cfg.dump("parts.py")
    named = ["--cfg-options", "experiment_name=parts", "visualizer.name=parts"]
    assert main(["train", "parts.py", "--work-dir", "run", *named]) == 0
    meta = torch.load("run/epoch_1.pth", weights_only=True)["meta"]["dataset_meta"]
    assert list(meta["classes"]) == ["red", "green"]
    files = ["parts.py", "run/epoch_1.pth"]
    named = ["--cfg-options", "experiment_name=parts-test", "visualizer.name=parts-test"]
    assert main(["test", *files, *named]) == 0
    assert main(["compare", f"a={':'.join(files)}", "--out", "out"]) == 0
    assert main(["image-demo", case.image, *files]) == 0
    # A checkpoint of MMDetection alone has a list.
    checkpoint = torch.load("run/epoch_1.pth", weights_only=True)
    checkpoint["meta"]["dataset_meta"] = [meta, {**meta, "palette": [(1, 2, 3)]}]
    torch.save(checkpoint, "listed.pth")
    assert main(["image-demo", case.image, "parts.py", "listed.pth"]) == 0
