"""Writes the config that trains a detector quantized: the float one and a few lines."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from lbwdet.checkpoints import check_fit, read_checkpoint
from lbwdet.configs import add_import, config_file, load_config
from lbwdet.datasets.classes import check_classes
from lbwdet.errors import ConfigError
from lbwdet.files import atomic_write, check_new_file
from lbwdet.layers import describe_quantization, unquantized_weights
from lbwdet.measuring.detectors import build_detector
from lbwdet.measuring.model_map import ModelMap
from lbwdet.measuring.size import weight_size
from lbwdet.models.detector import low_bit_entry
from lbwdet.quantizers import FLOAT_BIT_WIDTH
from lbwdet.training.build import build_model

CONFIG_NAME = "config.py"  # in the folder of a post-trained detector


def check_new_config(out: Path, config: str | Path) -> None:
    """Whether the one can be written from the other.

    Raises:
        ConfigError: it is no ``.py``, or the given one.
    """
    if out.suffix != ".py":
        raise ConfigError(f"--out {out}: the config is written as Python; name a file.py")
    check_new_file(out, config_file(config))


def write_quantized_config(
    config: str | Path,
    out: str | Path,
    weight: Mapping[str, Any],
    keep_float: Sequence[str] = (),
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    checkpoint: str | Path | None = None,
    activation: Mapping[str, Any] | None = None,
    load_from: str | Path | None = None,
) -> dict[str, Any]:
    """Writes ``out``, a config with ``config`` as its base and a model quantized as it is built.

    The model of the new config is built, and compared with the checkpoint, before the file
    gets its name, so that a pattern that matches nothing leaves no file.

    Args:
        config: any MMDetection config: a file, or ``'mmdet::family/config.py'``.
        out: the Python file to write; its base is named relative to it.
        weight, keep_float, overrides: as :func:`lbwdet.layers.quantize_` takes them.
        checkpoint: float weights, which a training starts from.
        activation: as :func:`lbwdet.layers.quantize_` takes it.
        load_from: what a training starts from instead.

    Returns:
        ``layers`` (each quantized layer's settings in words), ``float_weights`` (number
        of values by name of what stays float), ``weight_bytes`` and ``float_bytes``.

    Raises:
        ConfigError: the config is not usable or quantized already, a setting is unknown, or
            nothing would be quantized.
        CheckpointError: the checkpoint cannot be read or does not fit.
    """
    out = Path(out)
    check_new_config(out, config)
    cfg = load_config(config)
    float_model = build_model(cfg)
    if describe_quantization(float_model):
        raise ConfigError(f"{config}: is quantized already; name the float config it is based on")
    meta = None
    if checkpoint is not None:
        state, meta = read_checkpoint(checkpoint)
        of_float = {key: value for key, value in state.items() if ".input_quantizer." not in key}
        check_fit(float_model, of_float, checkpoint)
    check_classes(cfg, float_model, meta=meta, checkpoint=checkpoint)
    quant: dict[str, Any] = dict(weight=dict(weight))
    if activation is not None:
        quant["activation"] = dict(activation)
    if keep_float:
        quant["keep_float"] = list(keep_float)
    if overrides:
        quant["overrides"] = {name: dict(changes) for name, changes in overrides.items()}
    changes: dict[str, Any] = dict(model=low_bit_entry(cfg.model, quant))
    changes |= own_training(cfg, out, load_from or checkpoint)
    text = config_text(cfg, config, out, changes)
    with atomic_write(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
        model = build_model(load_config(temporary))
        if not describe_quantization(model):
            raise ConfigError(
                f"{out}: would quantize no layer: every one has {FLOAT_BIT_WIDTH} bits, which is "
                "float; choose a bit width of 1 to 8"
            )
    size = weight_size(model)
    return dict(
        layers=describe_quantization(model),
        float_weights=unquantized_weights(model),
        weight_bytes=size.weight_bytes,
        float_bytes=size.float_bytes,
    )


def own_training(cfg: Config, out: Path, load_from: str | Path | None) -> dict[str, Any]:
    """What keeps a training of ``out`` apart from those of the config ``cfg`` that it is based on.

    It starts from ``load_from`` and resumes nothing; and its folder is its own, where its base
    names one, or where its file has the name that all post-trained detectors' configs have.
    """
    changes: dict[str, Any] = {}
    if load_from is not None:
        changes["load_from"] = str(load_from)
        if cfg.get("resume"):
            changes["resume"] = False
    in_folder = out.name == CONFIG_NAME
    if in_folder or cfg.get("work_dir"):
        name = out.resolve().parent.name if in_folder else out.stem
        changes["work_dir"] = f"work_dirs/{name}"
    return changes


def summary(written: Mapping[str, Any], bit_width: int) -> str:
    """What :func:`write_quantized_config` returned for this ``bit_width``, in words."""
    left = sum(written["float_weights"].values())
    return (
        f"{len(written['layers'])} layers at {bit_width} bits, {left:,} values of other "
        f"weights float; {written['float_bytes'] / 1e6:.2f} MB in float, "
        f"{written['weight_bytes'] / 1e6:.2f} MB quantized"
    )


def float_and_quantized_map(
    config: str | Path,
    quantized: str | Path,
    checkpoint: str | Path,
    num_images: int | None = None,
    data_root: str | Path | None = None,
) -> tuple[float, float]:
    """mAP of a float checkpoint and of its quantized weights, without any training.

    Args:
        config: the float config.
        quantized: the config written from it.
        checkpoint: float weights.
        num_images: only the first test images.
        data_root: overrides the data root of the config.

    Returns:
        mAP in 0..1 (11-point, IoU 0.5), float and quantized.

    Raises:
        ConfigError, DataError, CheckpointError: with a message for the user.
    """
    cfg = load_config(config, data_root=data_root)
    measure = ModelMap(cfg, num_images)
    low_bit = load_config(quantized)
    return (
        measure(build_detector(cfg, checkpoint), "float"),
        measure(build_detector(low_bit, checkpoint), "quantized"),
    )


def config_text(cfg: Config, config: str | Path, out: Path, changes: Mapping[str, Any]) -> str:
    """A config with ``config``, loaded as ``cfg``, as its base, and these changes."""
    add_import(cfg, "lbwdet.models")  # where LBWDetector is registered
    changes = dict(custom_imports=dict(cfg.custom_imports), **changes)
    if Config._is_lazy_import(str(config_file(config))):
        # A config of Python imports can be no base of a textual one: it is written out.
        cfg.merge_from_dict(changes)
        lines = [f"# {Path(config).name}, written out", cfg.pretty_text.rstrip()]
    else:
        lines = [f"_base_ = {_base(config, out)!r}"]
        lines += [f"{name} = {_python(change)}" for name, change in changes.items()]
    return "\n".join(lines) + "\n"


def _base(config: str | Path, out: Path) -> str:
    if "::" in str(config):
        return str(config)
    return Path(os.path.relpath(Path(config).resolve(), out.resolve().parent)).as_posix()


def _python(value: Any, indent: int = 4) -> str:
    """Config style: ``dict(a=1)``; a long dict, with names that are no keywords, over lines."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_python(entry, indent) for entry in value)}]"
    if not isinstance(value, dict):
        return repr(value)
    if all(key.isidentifier() for key in value):
        return (
            f"dict({', '.join(f'{key}={_python(entry, indent)}' for key, entry in value.items())})"
        )
    pad = " " * indent
    entries = [f"{pad}{key!r}: {_python(entry, indent + 4)},\n" for key, entry in value.items()]
    return "{\n" + "".join(entries) + " " * (indent - 4) + "}"
