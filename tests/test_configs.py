"""Every config of the project: it loads, its model builds, and a bit width changes that alone."""

import copy
import functools
import re
from pathlib import Path
from typing import Any

import mmdet
import pytest
import torch
from mmdet.datasets import VOCDataset
from mmengine.config import Config
from torch import nn

from lbwdet.configs import add_import, default_work_dir, load_config
from lbwdet.demos.toy_demo import MODELS
from lbwdet.errors import ConfigError
from lbwdet.layers import (
    InputQuantizer,
    activation_keys,
    describe_quantization,
    input_quantizers,
    quantized_layers,
    unquantized_weights,
)
from lbwdet.layers.quantizable import has_one_input
from lbwdet.studies.experiment import EXPERIMENTS
from lbwdet.studies.trained_zoo import SUBJECTS
from lbwdet.training.build import build_model
from lbwdet.training.scheme_hook import configured_scheme

CONFIGS = Path(__file__).parents[1] / "configs"
NAME = re.compile(
    r"(?P<family>lbw_(?:frcnn(?:_lite0)?|rfcn(?:_r\d+)?|yolox_nano"
    r"|retinanet|fcos|rtmdet_tiny|mask_rcnn|detr)_"
    r"(?P<data>voc|bccd|voc-sample|toy))_(?P<variant>.+)"
)
VOC = ("voc", "voc-sample")
BIT_WIDTHS = ("6bit", "5bit", "4bit", "3bit", "2bit")
FAMILIES = {
    **{f"lbw_frcnn_{data}": BIT_WIDTHS for data in ("voc", "bccd", "voc-sample", "toy")},
    **{f"lbw_rfcn_r{depth}_voc": ("6bit", "5bit", "4bit") for depth in (50, 101)},
    "lbw_rfcn_toy": ("6bit", "4bit"),
    **{f"lbw_yolox_nano_{data}": (*BIT_WIDTHS, "6bit-paper", "w4a8") for data in VOC},
    **{f"lbw_frcnn_lite0_{data}": ("6bit", "4bit", "3bit", "w4a8") for data in VOC},
    **{
        f"lbw_{subject.config}": subject.trained for subject in SUBJECTS.values() if subject.trained
    },
}
# 4 and 3 bits gain magnitudes by the dense code, and 6 and 5 by the two-term one, which a compact
# detector needs; the others keep the paper's.
CODES = {"4": "dense", "3": "dense"}
COMPACT_CODES = CODES | {"6": "two-term", "5": "two-term"}
LITE0_CODES = COMPACT_CODES | {"4": "two-term"}
TAUGHT = ("lbw_yolox_nano_voc", "lbw_yolox_nano_voc-sample")
ALL = sorted(path.stem for path in CONFIGS.glob("*.py"))
SCHEMES = {"bcgd": "bcgd", "binary-relax": "binary_relax"}
# Weights of 4 bits, activations of 8: w4a8; then the estimator of their gradient.
WIDTHS = re.compile(
    r"(w(?P<weight>\d)a(?P<activation>\d)(_(?P<ste>relu|identity))?"
    r"|(?P<bits>\d)bit(-(?P<code>paper|two-term)|-nearest|-moving)?(_(?P<scheme>bcgd|binary-relax))?)"
)
LOW_BIT = [name for name in ALL if "fp32" not in name]


@functools.cache
def config(name: str) -> Config:
    return load_config(CONFIGS / f"{name}.py")


@functools.cache
def model(name: str) -> nn.Module:
    """Without memory for weights, and so without drawing or downloading any."""
    with torch.device("meta"):
        return build_model(copy.deepcopy(config(name)))  # building writes into it


def flat(node: Any, key: str = "") -> dict[str, Any]:
    """Dotted keys of everything in a config."""
    if isinstance(node, dict | list | tuple) and node:
        items = node.items() if isinstance(node, dict) else enumerate(node)
        parts = (flat(value, f"{key}.{name}" if key else str(name)) for name, value in items)
        return {k: v for part in parts for k, v in part.items()}
    return {key: node}


def family_of(name: str) -> str:
    return NAME.fullmatch(name)["family"]


def data_of(name: str) -> str:
    return NAME.fullmatch(name)["data"]


def counterpart(name: str) -> str:
    """The float model that is trained by the same schedule."""
    family = family_of(name)
    if family in TAUGHT:  # the low-bit ones have a teacher
        return f"_base_/starts/{family.removeprefix('lbw_')}_taught"
    return f"{family}_{'fp32' if data_of(name) == 'voc' else 'fp32-finetuned'}"


def test_every_family_is_complete():
    for family, bit_widths in FAMILIES.items():
        assert {f"{family}_{variant}" for variant in ("fp32", *bit_widths)} <= set(ALL)
    assert {family_of(name) for name in ALL} == set(FAMILIES)
    for variant in MODELS.values():
        assert f"lbw_frcnn_toy_{variant}" in ALL
    for experiment in EXPERIMENTS.values():
        for variant in (experiment.base, *experiment.variants, *experiment.more):
            assert Path(experiment.config(variant)).is_file()


@pytest.mark.parametrize("name", ALL)
def test_model_builds_with_the_keys_of_its_family(name):
    state, reference = (model(n).state_dict() for n in (name, f"{family_of(name)}_fp32"))
    added = activation_keys(model(name))
    assert [key for key in state if key not in added] == list(reference)
    assert all(state[key].shape == reference[key].shape for key in reference)


@pytest.mark.parametrize("name", ALL)
def test_classes_of_data_and_head_agree(name):
    cfg = config(name)
    classes = cfg.get("metainfo", {}).get("classes")
    if classes is None:
        classes = VOCDataset.METAINFO["classes"]
    head = cfg.model.get("roi_head", cfg.model).bbox_head
    assert head.num_classes == len(classes)


@pytest.mark.parametrize("name", LOW_BIT)
def test_low_bit_minus_float_is_quantization_only(name):
    low, reference = flat(config(name)._cfg_dict), flat(config(counterpart(name))._cfg_dict)
    changed = {
        key
        for key in low.keys() | reference.keys()
        if low.get(key, "absent") != reference.get(key, "absent")
    }
    start = {"load_from"} if counterpart(name).endswith("_fp32") else set()
    others = {key for key in changed - start if not key.startswith("model.quant.")}
    others = {key for key in others if key.split(".")[0] not in ("scheme", "hooks", "custom_hooks")}
    assert others == {"model.type", "model.detector"}
    assert low["model.type"] == "LBWDetector" and low["model.detector"] == reference["model.type"]
    lines = (CONFIGS / f"{name}.py").read_text().splitlines()
    of_model = [number for number, line in enumerate(lines) if line.startswith(("model", " "))]
    assert len(lines) <= 10 and len(of_model) <= 3


BY_PARTS = """
quant = dict(weight=dict(bit_width=4, code='dense'), activation=dict(bit_width=8))
model = dict(
    backbone=dict(quant=quant),
    neck=dict(quant=quant),
    rpn_head=dict(quant=quant),
    roi_head=dict(bbox_head=dict(quant=quant)))
"""
BY_HOOK = """
quant = dict(weight=dict(bit_width=4, code='dense'), activation=dict(bit_width=8))
custom_hooks = [dict(type='QuantizeHook', quant=quant)]
"""


@pytest.mark.parametrize("text", [BY_PARTS, BY_HOOK], ids=["parts", "hook"])
def test_low_bit_configs_of_the_old_form_mean_the_same(tmp_path, text):
    base = CONFIGS / "lbw_frcnn_toy_fp32-finetuned.py"
    (tmp_path / "old.py").write_text(f"_base_ = {str(base)!r}\n{text}")
    with torch.device("meta"):
        old = build_model(load_config(tmp_path / "old.py"))
    new = model("lbw_frcnn_toy_w4a8")
    assert describe_quantization(old) == describe_quantization(new)
    assert list(old.state_dict()) == list(new.state_dict())


@pytest.mark.parametrize("name", LOW_BIT)
def test_layers_have_the_bit_width_of_the_name(name):
    said = WIDTHS.fullmatch(NAME.fullmatch(name)["variant"])
    width = said["weight"] or said["bits"]
    layers = quantized_layers(model(name))
    codes = LITE0_CODES if "lite0" in name else COMPACT_CODES if "yolox" in name else CODES
    expected = (int(width), said["code"] or codes.get(width, "paper"))
    assert {(q.bit_width, q.code) for q in (layer.quantizer for layer in layers.values())} == {
        expected
    }
    assert set(unquantized_weights(model(name))) <= {"query_embedding.weight"}  # of DETR
    inputs = {path.removesuffix(".input_quantizer"): q for path, q in quantizers(name).items()}
    read = {path for path, layer in layers.items() if has_one_input(layer)}
    assert set(inputs) == (read if said["activation"] else set())
    for path, quantizer in inputs.items():
        settings = quantizer.settings
        assert settings.ste == (said["ste"] or "clipped_relu")
        signed = said["activation"] if "yolox" in name else 8  # it has no ReLU
        assert settings.signed_bit_width == int(signed)
        image = path == "backbone.conv1"
        assert settings.bit_width == (8 if image else int(said["activation"]))


def quantizers(name: str) -> dict[str, InputQuantizer]:
    return input_quantizers(model(name))


@pytest.mark.parametrize("name", LOW_BIT)
def test_scheme_of_the_name(name):
    said = WIDTHS.fullmatch(NAME.fullmatch(name)["variant"])["scheme"]
    scheme = configured_scheme(config(name))
    assert scheme.type == SCHEMES.get(said, "projection")
    if scheme.type == "binary_relax":
        # lambda is in the hundreds when the second phase starts.
        epochs = config(name).train_cfg.max_epochs
        last_relaxed = int(0.75 * epochs * 63) - 1
        assert 100 < scheme.relax(last_relaxed, 63, epochs * 63) < 1000
        assert epochs == (4 if "yolox" in name else 2)


@pytest.mark.parametrize("name", [name for name in ALL if "fp32" in name])
def test_float_models_have_no_quantized_layer(name):
    assert quantized_layers(model(name)) == {}


@pytest.mark.parametrize("name", [name for name in ALL if not name.endswith("_fp32")])
def test_load_from_is_the_last_checkpoint_of_the_float_config(name):
    float_name = f"{family_of(name)}_fp32"
    if "yolox" in name:  # which is not trained, but brought
        assert config(name).load_from == f"work_dirs/yolox_nano_{data_of(name)}.pth"
        assert f"--config configs/{float_name}.py" in config(name).load_from_hint
        assert f"--out {config(name).load_from}" in config(name).load_from_hint
        return
    epochs = config(float_name).train_cfg.max_epochs
    expected = Path(default_work_dir(f"{float_name}.py")) / f"epoch_{epochs}.pth"
    assert Path(config(name).load_from) == expected


@pytest.mark.parametrize(
    ("name", "depth"),
    [("lbw_frcnn_voc_fp32", 50), ("lbw_rfcn_r50_voc_fp32", 50), ("lbw_rfcn_r101_voc_fp32", 101)],
)
def test_voc_keeps_mmdetections_schedule_data_and_weights(name, depth):
    folder = Path(mmdet.__file__).parent / ".mim" / "configs" / "pascal_voc"
    theirs = Config.fromfile(folder / "faster-rcnn_r50_fpn_1x_voc0712.py")
    ours = config(name)
    for key in ("param_scheduler", "optim_wrapper", "auto_scale_lr", "train_cfg"):
        assert flat(ours[key]) == flat(theirs[key])
    # Workers that end with the epoch take their seeds from it: see EpochSeedHook.
    ours_to_choose = {"type", "data_root", "persistent_workers", "_scope_"}
    for key in ("train_dataloader", "test_dataloader", "test_evaluator"):
        mine, reference = (
            {k: v for k, v in flat(cfg[key]).items() if k.rpartition(".")[2] not in ours_to_choose}
            for cfg in (ours, theirs)
        )
        assert mine == reference
    weights = dict(type="Pretrained", checkpoint=f"torchvision://resnet{depth}")
    assert ours.model.backbone.depth == depth and ours.model.backbone.init_cfg == weights


@pytest.mark.parametrize("data", VOC)
def test_yolox_nano_is_mmdetections(data):
    ours = load_config(CONFIGS / f"lbw_yolox_nano_{data}_fp32.py")
    theirs = load_config("mmdet::yolox/yolox_nano_8xb8-300e_coco.py")
    mine, reference = flat(ours.model), flat(theirs.model)
    changed = {key for key in mine | reference if mine.get(key) != reference.get(key)}
    # Theirs trains at several sizes, which ours does not.
    assert {key for key in changed if "batch_augments" not in key} == {"bbox_head.num_classes"}
    assert ours.test_pipeline[1:3] == theirs.test_pipeline[1:3]


@pytest.mark.parametrize("variant", ["fp32-finetuned", "6bit", "w4a8"])
def test_yolox_is_trained_on_without_its_stem(variant):
    net = model(f"lbw_yolox_nano_voc-sample_{variant}")
    net.train()  # where MMDetection freezes stages
    still = {name for name, value in net.named_parameters() if not value.requires_grad}
    net.eval()
    stem = {name for name, _ in net.named_parameters() if name.startswith("backbone.stem.")}
    steps = set(activation_keys(net))  # of channels; these are calibrated, not trained
    assert still - steps == stem - steps


def test_a_missing_config_lists_its_neighbours(tmp_path):
    with pytest.raises(ConfigError, match=r"nope\.py: no such config$"):
        load_config(tmp_path / "nope.py")
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("")
    with pytest.raises(ConfigError, match=r"nope\.py: no such config; .* has a\.py, b\.py$"):
        load_config(tmp_path / "nope.py")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("model = dict(", "was never closed"),
        ("_base_ = './other.py'", r"other\.py"),
        ("1 / 0", "division by zero"),
        ("custom_imports = dict(imports=['no_such_module'])", "no_such_module"),
    ],
)
def test_a_broken_config_is_named_with_the_reason(tmp_path, text, reason):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"broken\.py: cannot be read as a config: .*{reason}"):
        load_config(path)


def test_options_are_merged(tmp_path):
    path = tmp_path / "a.py"
    path.write_text("a = dict(b=1)\nc = [dict(d=1)]\n")
    cfg = load_config(path, {"a.b": 2, "c.0.d": 3, "e.f": 4})
    assert (cfg.a.b, cfg.c[0].d, cfg.e.f) == (2, 3, 4)
    for options in ({"a.b.c": 2}, {"c.7.d": 2}):
        with pytest.raises(ConfigError, match=r"--cfg-options do not fit .*a\.py"):
            load_config(path, options)


def test_work_dir_is_named_after_the_config():
    assert default_work_dir("some/where/x_6bit.py") == "work_dirs/x_6bit"


def test_configs_of_packages():
    shipped = load_config("mmdet::retinanet/retinanet_r18_fpn_1x_coco.py")
    assert shipped.model.type == "RetinaNet"
    with pytest.raises(ConfigError, match=r"no package 'nodet' is installed"):
        load_config("nodet::retinanet/retinanet_r18_fpn_1x_coco.py")
    with pytest.raises(ConfigError, match=r"retinanet_r19.py: no such config; .* has retinanet_"):
        load_config("mmdet::retinanet/retinanet_r19.py")


def test_imports_are_added_once():
    cfg = Config(dict())
    for imports in ("a", "a", "b"):
        add_import(cfg, imports)
    assert cfg.custom_imports.imports == ["a", "b"]
    cfg.custom_imports = dict(imports="a", allow_failed_imports=False)
    add_import(cfg, "b")
    assert cfg.custom_imports == dict(imports=["a", "b"], allow_failed_imports=False)
