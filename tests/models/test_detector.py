"""``LBWDetector``: what it builds, and that its config means its bits at every door."""

import copy
import functools
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer, inference_detector, init_detector
from mmdet.models import FasterRCNN, RetinaNet
from mmdet.registry import MODELS
from mmengine.analysis import get_model_complexity_info
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, load_checkpoint

from lbwdet.errors import ConfigError
from lbwdet.layers import (
    describe_quantization,
    input_quantizers,
    quantized_as_built,
    quantized_layers,
)
from lbwdet.models import LBWDetector
from lbwdet.models.detector import low_bit_entry
from lbwdet.testing import tiny_config, write_tiny_voc

W6 = dict(weight=dict(bit_width=6))
W4A8 = dict(weight=dict(bit_width=4, code="dense"), activation=dict(bit_width=8))
LAYERS = 35


def model_config(model="faster-rcnn_r50_fpn", quant=None) -> ConfigDict:
    return tiny_config("unused", "unused", model=model, quant=quant).model


def build(config: ConfigDict) -> torch.nn.Module:
    init_default_scope("mmdet")
    return MODELS.build(copy.deepcopy(config))


# What is built


@pytest.mark.parametrize(
    ("model", "kind"), [("faster-rcnn_r50_fpn", FasterRCNN), ("retinanet_r50_fpn", RetinaNet)]
)
def test_it_is_the_detector_itself(model, kind):
    plain, low_bit = build(model_config(model)), build(model_config(model, W6))
    assert type(low_bit) is type(plain) is kind
    assert list(low_bit.state_dict()) == list(plain.state_dict())
    assert [name for name, _ in low_bit.named_parameters()] == [
        name for name, _ in plain.named_parameters()
    ]
    assert quantized_as_built(low_bit) and not quantized_as_built(plain)
    assert {layer.quantizer.bit_width for layer in quantized_layers(low_bit).values()} == {6}


def test_the_type_may_be_a_class_or_carry_its_scope():
    config = model_config(quant=W6)
    for detector in (FasterRCNN, "mmdet.FasterRCNN", "mmdet.models.detectors.FasterRCNN"):
        for kind in ("LBWDetector", "mmdet.LBWDetector", LBWDetector):
            config.update(type=kind, detector=detector)
            assert len(quantized_layers(build(config))) == LAYERS


def test_configs_of_python_imports(tmp_path):
    config = tiny_config("unused", "unused", model="retinanet_r50_fpn")
    text = config.pretty_text.replace("type='RetinaNet'", "type=RetinaNet")
    (tmp_path / "base.py").write_text(f"from mmdet.models import RetinaNet\n{text}")
    delta = """
from mmengine.config import read_base
with read_base():
    from .base import *
from mmdet.models import RetinaNet
from lbwdet.models import LBWDetector
model.update(type=LBWDetector, detector=RetinaNet, quant=dict(weight=dict(bit_width=4)))
"""
    (tmp_path / "low_bit.py").write_text(delta)
    model = build(Config.fromfile(tmp_path / "low_bit.py").model)
    assert type(model) is RetinaNet and len(quantized_layers(model)) > 25


def test_none_is_float():
    config = model_config(quant=W6)
    config.quant = None
    model = build(config)
    assert quantized_layers(model) == {} and not quantized_as_built(model)


def test_a_delta_of_a_delta():
    base = Config(dict(model=model_config(quant=W4A8)))
    base.merge_from_dict(dict(model=dict(quant=dict(activation=dict(ste="relu")))))
    settings = {q.settings.ste for q in input_quantizers(build(base.model)).values()}
    assert settings == {"relu"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(quant=6), "quant=6; write quant=dict"),
        (dict(quant=dict(weight=dict(bit_width=9))), "bit_width=9"),
        (dict(quant=dict(**W6, keep_float=["fc9"])), "'fc9' matches no layer of FasterRCNN"),
        (dict(detector=dict(type="FasterRCNN")), "is a model of its own; .* move the entry inside"),
    ],
)
def test_mistakes(changes, message):
    with pytest.raises(ConfigError, match=message):
        build(ConfigDict({**model_config(quant=W6), **changes}))


def test_pretrained_weights_are_the_same_before_and_after(tmp_path):
    """``init_weights`` runs behind the quantization, and finds every layer and key."""
    torch.manual_seed(1)
    source = build(model_config())
    torch.save(source.state_dict(), tmp_path / "whole.pth")
    torch.save(source.backbone.state_dict(), tmp_path / "backbone.pth")
    for quant in (None, W6):
        config = model_config(quant=quant)
        config.backbone.init_cfg = dict(
            type="Pretrained", checkpoint=str(tmp_path / "backbone.pth")
        )
        model = build(config)
        masters = dict(model.named_parameters())
        model.init_weights()
        assert all(masters[name] is parameter for name, parameter in model.named_parameters())
        for name, value in source.backbone.state_dict().items():
            assert torch.equal(model.backbone.state_dict()[name], value)
        config.init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "whole.pth"))
        model = build(config)
        model.init_weights()
        state = model.state_dict()
        assert all(torch.equal(state[name], value) for name, value in source.state_dict().items())


def test_random_weights_are_those_of_the_float_detector():
    states = []
    for quant in (None, W6):
        torch.manual_seed(0)
        model = build(model_config(quant=quant))
        model.init_weights()
        states.append(model.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


class TestEntry:
    def test_of_a_class(self):
        assert low_bit_entry(dict(type=FasterRCNN), W6) == dict(
            type="LBWDetector",
            detector="mmdet.models.detectors.faster_rcnn.FasterRCNN",
            quant=W6,
        )

    def test_of_a_detector_inside(self):
        inside = dict(
            type="ByteTrack", detector=dict(type="YOLOX", backbone=dict()), tracker=dict()
        )
        assert low_bit_entry(inside, W6) == dict(
            detector=dict(type="LBWDetector", detector="YOLOX", quant=W6)
        )


# Every door that takes a config, or a config and a checkpoint


@pytest.fixture(scope="module", params=[W6, W4A8], ids=["w6", "w4a8"])
def trained(request, tmp_path_factory) -> SimpleNamespace:
    """A trained low-bit detector: its config's file, checkpoint, and what the Runner detects."""
    folder = tmp_path_factory.mktemp("doors")
    root = write_tiny_voc(folder / "data", num_trainval=2, num_test=2)
    config = tiny_config(
        root,
        folder / "run",
        quant=request.param,
        changes={"train_cfg.max_epochs": 2, "model.test_cfg.rcnn.score_thr": 0.0},
    )
    config.test_dataloader.dataset.pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="Resize", scale=(64, 64), keep_ratio=True),
        dict(type="LoadAnnotations", with_bbox=True),
        dict(
            type="PackDetInputs",
            meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
        ),
    ]
    config.dump(folder / "low_bit.py")
    runner = Runner.from_cfg(copy.deepcopy(config))
    runner.train()
    images = sorted((root / "VOC2007" / "JPEGImages").glob("*.jpg"))[-2:]
    case = SimpleNamespace(
        config=str(folder / "low_bit.py"),
        checkpoint=f"{runner.work_dir}/epoch_2.pth",
        images=[str(path) for path in images],
        quantization=describe_quantization(runner.model),
        folder=folder,
    )
    case.expected = detections_of_a_runner(case)
    assert len(case.expected[0].scores) > 0 and len(case.quantization) == LAYERS
    return case


def detections_of_a_runner(case: SimpleNamespace, change=lambda cfg: None) -> list:
    """The detections of a Runner's test loop, checked for their number of quantized layers."""
    found = []

    class Keep(Hook):
        def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            found.extend(sample.pred_instances for sample in outputs)

    cfg = Config.fromfile(case.config)
    cfg.merge_from_dict(dict(load_from=case.checkpoint, work_dir=str(case.folder / "test")))
    cfg.experiment_name = cfg.visualizer.name = f"{cfg.experiment_name}-{len(list_of_runs)}"
    list_of_runs.append(cfg)
    change(cfg)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(Keep())
    runner.test()
    assert len(quantized_layers(runner.model)) == LAYERS
    return found


list_of_runs: list[Config] = []  # MMEngine keeps loggers and visualizers by name


def assert_same(found, expected):
    assert len(found.scores) == len(expected.scores)
    assert torch.equal(torch.as_tensor(found.scores), expected.scores)
    assert torch.equal(torch.as_tensor(found.bboxes), expected.bboxes)
    assert torch.equal(torch.as_tensor(found.labels), expected.labels)


def test_init_and_inference_detector(trained):
    model = init_detector(trained.config, trained.checkpoint, device="cpu")
    assert type(model) is FasterRCNN
    assert describe_quantization(model) == trained.quantization
    for image, expected in zip(trained.images, trained.expected, strict=True):
        assert_same(inference_detector(model, image).pred_instances, expected)


def test_det_inferencer(trained):
    inferencer = DetInferencer(trained.config, trained.checkpoint, device="cpu")
    assert describe_quantization(inferencer.model) == trained.quantization
    for image, expected in zip(trained.images, trained.expected, strict=True):
        found = inferencer(image, return_datasamples=True, no_save_vis=True, no_save_pred=True)
        assert_same(found["predictions"][0].pred_instances, expected)


def test_the_flops_tool(trained):
    cfg = Config.fromfile(trained.config)
    init_default_scope(cfg.default_scope)
    counted = []
    for quant in (cfg.model.quant, None):
        model = MODELS.build({**cfg.model, "quant": quant})
        assert len(quantized_layers(model)) == (LAYERS if quant else 0)
        if quant:
            load_checkpoint(model, trained.checkpoint, map_location="cpu")
        model.eval()
        sample = Runner.build_dataloader(copy.deepcopy(cfg.test_dataloader))
        data = model.data_preprocessor(next(iter(sample)))
        model.forward = functools.partial(model.forward, data_samples=data["data_samples"])
        counted.append(
            get_model_complexity_info(
                model, None, inputs=data["inputs"], show_table=False, show_arch=False
            )["flops"]
        )
    assert counted[0] == counted[1] > 1e6


def test_the_benchmark_script(trained):
    """As ``mmdet.utils.benchmark`` builds it."""
    cfg = Config.fromfile(trained.config)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    load_checkpoint(model, trained.checkpoint, map_location="cpu")
    assert describe_quantization(model) == trained.quantization


def test_augmented_testing(trained):
    """As ``tools/test.py --tta`` changes the config; one augmentation is none."""

    def augment(cfg: Config) -> None:
        cfg.tta_model = dict(
            type="DetTTAModel",
            tta_cfg=dict(nms=dict(type="nms", iou_threshold=0.5), max_per_img=100),
        )
        load, resize, annotations, pack = cfg.test_dataloader.dataset.pipeline
        pack.meta_keys = (*pack.meta_keys, "flip", "flip_direction")
        flips = [dict(type="RandomFlip", prob=0.0)]
        cfg.test_dataloader.dataset.pipeline = [
            load,
            dict(type="TestTimeAug", transforms=[[resize], flips, [annotations], [pack]]),
        ]
        cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
        load_in_module(cfg)

    def load_in_module(cfg: Config) -> None:
        # A checkpoint of the detector is loaded into the wrapper by MMEngine with a prefix.
        state = torch.load(cfg.load_from, weights_only=True)["state_dict"]
        path = Path(trained.folder / "wrapped.pth")
        torch.save({f"module.{key}": value for key, value in state.items()}, path)
        cfg.load_from = str(path)

    for found, expected in zip(
        detections_of_a_runner(trained, augment), trained.expected, strict=True
    ):
        np.testing.assert_allclose(found.scores[:1], expected.scores[:1], rtol=0, atol=0)


def test_training_validation_and_resume(trained):
    cfg = Config.fromfile(trained.config)
    cfg.merge_from_dict(dict(load_from=trained.checkpoint, resume=True))
    cfg.merge_from_dict({"train_cfg.max_epochs": 3})
    cfg.work_dir = str(trained.folder / "resumed")
    cfg.experiment_name = cfg.visualizer.name = f"{cfg.experiment_name}-resumed"
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.epoch == 3 and describe_quantization(runner.model) == trained.quantization
    cfg.merge_from_dict(dict(resume=False, experiment_name=f"{cfg.experiment_name}-val"))
    runner = Runner.from_cfg(cfg)
    assert 0 <= runner.val()["pascal_voc/mAP"] <= 1
    assert describe_quantization(runner.model) == trained.quantization


def test_nested_in_a_semi_supervised_model():
    """Student and teacher are built of one entry."""
    detector = model_config(quant=W6)
    preprocessor = dict(
        type="MultiBranchDataPreprocessor", data_preprocessor=detector.data_preprocessor
    )
    model = build(
        ConfigDict(
            type="SoftTeacher",
            detector=detector,
            data_preprocessor=preprocessor,
            semi_train_cfg=dict(freeze_teacher=True),
            semi_test_cfg=dict(predict_on="teacher"),
        )
    )
    for part in (model.student, model.teacher):
        assert type(part) is FasterRCNN and len(quantized_layers(part)) == LAYERS
    assert quantized_as_built(model)
    assert not any(parameter.requires_grad for parameter in model.teacher.parameters())


STRANGER = """
import json, sys
import lbwdet.compat  # where mmcv has no compiled operators
from mmdet.apis import inference_detector, init_detector
config, checkpoint, image = sys.argv[1:]
model = init_detector(config, checkpoint, device='cpu')
scores = inference_detector(model, image).pred_instances.scores
print(json.dumps(dict(
    layers=sum(type(m).__name__.startswith('Quant') for m in model.modules()),
    scores=scores.tolist())))
"""


def test_a_strangers_process(trained):
    """Nothing of ours but what ``custom_imports`` names."""
    command = [sys.executable, "-W", "ignore", "-c", STRANGER]
    command += [trained.config, trained.checkpoint, trained.images[0]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["layers"] == LAYERS
    assert said["scores"] == trained.expected[0].scores.tolist()


HOSTILE = """
import os, sys, torch
import lbwdet.models
from mmengine.runner import load_checkpoint

class Code:
    def __reduce__(self):
        return os.mkdir, (sys.argv[1] + '/code was here',)

torch.save(dict(state_dict={}, meta=Code()), sys.argv[1] + '/a.pth')
try:
    load_checkpoint(torch.nn.Linear(1, 1), sys.argv[2] + '/a.pth')
except Exception as error:
    print(type(error).__name__, os.path.exists(sys.argv[1] + '/code was here'))
"""


def test_a_strangers_process_runs_no_code_of_a_checkpoint(tmp_path):
    """MMEngine's own way to a URL unpickles; the import of ``lbwdet.models`` alone closes it."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        command = [sys.executable, "-W", "ignore", "-c", HOSTILE, str(tmp_path), url]
        environment = {**os.environ, "TORCH_HOME": str(tmp_path / "torch")}
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
        server.shutdown()
    assert done.stdout.splitlines()[-1:] == ["CheckpointError False"], done.stderr
