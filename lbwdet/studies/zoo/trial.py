"""One model on random weights: loss, backward and predict, in float and then quantized."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import ConfigDict
from mmengine.logging import MessageHub
from mmengine.model import revert_sync_batchnorm
from torch import nn

from lbwdet.errors import LBWError
from lbwdet.layers import quantize_, quantized_layers, unquantized_weights
from lbwdet.studies.zoo.inputs import make_batch

STEPS = ("loss", "backward", "predict")
WEIGHT = dict(bit_width=4, code="dense")
SIZES = (128, 256, 512)  # pixels; the larger ones for detectors that need more feature pixels
_SEED = 0
_PACKAGES = f"{Path(torch.__file__).parents[1]}/"


def run_trial(model: Mapping[str, Any], report: Callable[[str, Any], None]) -> None:
    """Builds and runs a model; says each result as soon as it is there.

    Args:
        model: its config, without pretrained weights.
        report: called with a key and its value: ``doing`` and what comes next (should
            the process die in it), ``built``, ``size``, ``quantized_layers``, ``float_weights``,
            and for ``float`` and ``quantized`` each a dict that holds for each of
            ``STEPS`` None if it ran, or else the reason why not.
    """
    report("doing", "build")
    try:
        detector = build(model)
    except Exception as error:  # the config names any class and any arguments
        report("built", False)
        report("float", dict.fromkeys(STEPS, f"build: {reason(error)}"))
        return
    report("built", True)
    report("doing", "float")
    for size in SIZES:
        found, trained = run_steps(detector, size)
        if not any(found.values()):
            break
    report("size", size)
    report("float", found)
    report("doing", "quantized")
    try:
        quantize_(detector, weight=WEIGHT)
    except LBWError as error:
        report("quantized", dict.fromkeys(STEPS, f"quantize: {reason(error)}"))
        return
    report("quantized_layers", len(quantized_layers(detector)))
    report("float_weights", sum(unquantized_weights(detector).values()))
    projected = _record_projections(detector)
    found, also_trained = run_steps(detector, size)
    if found["backward"] is None:
        found["backward"] = _gradient_problem(detector, trained, also_trained, projected)
    report("quantized", found)


def build(model: Mapping[str, Any]) -> nn.Module:
    """The detector with its random initial weights, on the CPU."""
    register_all_modules(init_default_scope=True)
    _pretend_to_train()
    torch.manual_seed(_SEED)
    detector = MODELS.build(ConfigDict(model))
    for part in detector.modules():  # some classes name pretrained weights by themselves
        if "checkpoint" in str(getattr(part, "init_cfg", None)):
            part.init_cfg = None
    detector.init_weights()
    plain: nn.Module = revert_sync_batchnorm(detector)  # as MMDetection does on a CPU
    return plain


def _pretend_to_train() -> None:
    """What a training would have set up, and some models ask for."""
    hub = MessageHub.get_current_instance()
    for counter in ("epoch", "iter"):  # the runner's
        hub.update_info(counter, 0)
    if not torch.distributed.is_initialized():  # MMSyncBN wants to know its process group
        store = torch.distributed.HashStore()  # type: ignore[attr-defined]
        torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)


def run_steps(detector: Any, size: int) -> tuple[dict[str, str | None], set[str]]:
    """Runs each step once on the same random images of ``size`` x ``size`` pixels.

    Returns:
        For each of ``STEPS`` None, or why it failed; and the parameters that got a gradient.
    """
    found: dict[str, str | None] = {}
    trained: set[str] = set()
    detector.zero_grad(set_to_none=True)
    try:
        losses = detector(**_data(detector, size, training=True), mode="loss")
        total = detector.parse_losses(losses)[0]
        found["loss"] = None if math.isfinite(total.item()) else f"the loss is {total.item()}"
        found["backward"] = "not reached"
        total.backward()
        found["backward"] = None
        trained = {name for name, entry in detector.named_parameters() if entry.grad is not None}
    except Exception as error:  # any operation of any detector
        found["backward" if "loss" in found else "loss"] = reason(error)
        found.setdefault("backward", "no loss")
    detector.zero_grad(set_to_none=True)
    try:
        with torch.no_grad():
            detector(**_data(detector, size, training=False), mode="predict")
        found["predict"] = None
    except Exception as error:
        found["predict"] = reason(error)
    return found, trained


def _data(detector: Any, size: int, training: bool) -> Any:
    """The same random images each time, as ``detector``, then in that mode, gets them."""
    torch.manual_seed(_SEED)
    detector.train(training)
    return detector.data_preprocessor(make_batch(detector, training, size), training)


def _record_projections(detector: nn.Module) -> set[str]:
    """Names of the layers whose weight was projected, filled while the detector runs."""
    projected: set[str] = set()
    for name, layer in quantized_layers(detector).items():
        quantizer = layer.quantizer
        assert quantizer is not None

        def recorded(*args: Any, _name: str = name, _project: Any = quantizer.fake_quantize) -> Any:
            projected.add(_name)
            return _project(*args)

        quantizer.fake_quantize = recorded  # type: ignore[assignment, method-assign]
    return projected


def _gradient_problem(
    detector: nn.Module, trained: set[str], also_trained: set[str], projected: set[str]
) -> str | None:
    """Weights that lost their gradient, or got one past their quantizer; None if all is well."""
    names = {id(parameter): name for name, parameter in detector.named_parameters()}
    weights = {name: names[id(layer.weight)] for name, layer in quantized_layers(detector).items()}
    lost = sorted((trained - also_trained) & set(weights.values()))
    if lost:
        return f"{len(lost)} weights get no gradient: {', '.join(lost[:3])}"
    past = sorted(
        name for name, weight in weights.items() if weight in also_trained and name not in projected
    )
    return f"{len(past)} weights are read past forward(): {', '.join(past[:3])}" if past else None


def reason(error: BaseException) -> str:
    """The error in one line, without the folders that packages lie in."""
    lines = str(error).strip().splitlines()
    first = " ".join(lines[0].replace(_PACKAGES, "").split()) if lines else ""
    return f"{type(error).__name__}: {first[:200]}"
