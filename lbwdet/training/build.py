"""From a config to the very model that training runs."""

from collections.abc import Mapping
from typing import Any

from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings
from torch import nn

from lbwdet.compat.ssd import complete_ssd
from lbwdet.configs import class_name
from lbwdet.errors import ConfigError, LBWError
from lbwdet.layers import quantize_, quantized_as_built, quantized_layers


def build_model(cfg: Config) -> nn.Module:
    """Builds ``cfg.model`` and quantizes it as the ``QuantizeHook`` entries of ``cfg`` will.

    Raises:
        ConfigError: the config has no model, one that cannot be built or quantized, or one
            whose quantized layers something would pass by.
    """
    register_scope(cfg)
    if "model" not in cfg:
        raise ConfigError(f"{cfg.filename}: no 'model' in this config; name a detector config")
    try:
        model: nn.Module = MODELS.build(cfg.model)
        complete_ssd(model)
        for quant in hook_quant_settings(cfg):
            quantize_by_hook(model, quant)
    except LBWError:
        raise
    except Exception as error:  # the config names any class and any arguments
        raise ConfigError(f"{cfg.filename}: the model cannot be built: {error}") from error
    if cfg.get("efficient_conv_bn_eval") and quantized_layers(model):
        raise ConfigError(
            f"{cfg.filename}: efficient_conv_bn_eval computes with the float weights of quantized "
            "layers; remove it"
        )
    return model


def quantize_by_hook(model: nn.Module, quant: Mapping[str, Any]) -> bool:
    """What a ``QuantizeHook`` does; False if the model was built quantized, and is left alone."""
    if quantized_as_built(model):
        return False
    quantize_(model, **quant)
    return True


def register_scope(cfg: Config) -> None:
    """Makes the types that ``cfg`` names known: mmdet's, and those of its ``custom_imports``."""
    register_all_modules(init_default_scope=False)
    init_default_scope(cfg.get("default_scope", "mmdet"))
    if cfg.get("custom_imports"):
        import_modules_from_strings(**cfg.custom_imports)


def hook_quant_settings(cfg: Config) -> list[Mapping[str, Any]]:
    """The ``quant`` settings of every ``QuantizeHook`` in ``cfg.custom_hooks``."""
    return [
        hook.get("quant", {})
        for hook in cfg.get("custom_hooks") or []
        if class_name(hook["type"]) == "QuantizeHook"
    ]
