"""A config with other quantizer settings."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from lbwdet.quantizers import FLOAT_BIT_WIDTH
from lbwdet.training.build import hook_quant_settings


def with_weight_settings(cfg: Config, weight: Mapping[str, Any]) -> Config:
    """A copy of ``cfg`` whose quantized layers have the weight settings ``weight``.

    They replace those in every ``quant=dict(weight=...)`` of the model and of the
    ``QuantizeHook`` entries; ``keep_float`` and ``overrides`` stay. A config without
    any, a float one, gets a hook that quantizes every layer. At a bit width of 32 the
    overrides go, too: float weights. Activation settings stay at every bit width.
    """
    cfg = copy.deepcopy(cfg)
    settings = [*_part_settings(cfg.get("model")), *hook_quant_settings(cfg)]
    if not settings:
        cfg.custom_hooks = [
            *(cfg.get("custom_hooks") or []),
            dict(type="QuantizeHook", quant=dict(weight=dict(weight))),
        ]
        imports = cfg.get("custom_imports") or dict(imports=[])
        names = imports["imports"]
        imports["imports"] = [
            *([names] if isinstance(names, str) else names),
            "lbwdet.training",  # where the hook is registered
        ]
        cfg.custom_imports = imports
    for quant in settings:
        quant["weight"] = dict(weight)
        if weight["bit_width"] == FLOAT_BIT_WIDTH:
            quant.pop("overrides", None)
    return cfg


def _part_settings(node: Any) -> Iterator[Any]:
    """Every ``quant=dict(...)`` below a config node."""
    if isinstance(node, dict):
        if node.get("quant"):
            yield node["quant"]
        for key, value in node.items():
            if key != "quant":
                yield from _part_settings(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _part_settings(value)
