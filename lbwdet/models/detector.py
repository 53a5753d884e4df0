"""A whole detector with low-bit weights, wherever a model is built from its config."""

from collections.abc import Mapping
from typing import Any

from mmdet.registry import MODELS
from torch import nn

from lbwdet.errors import ConfigError, shown
from lbwdet.layers import quantize_as_built_


def LBWDetector(
    detector: str | type[nn.Module], quant: Mapping[str, Any] | None, **settings: Any
) -> nn.Module:
    """Builds a detector of any type and quantizes it in place.

    It is registered like a class, but what is built is the detector itself: of its own
    class, with its own state-dict keys (quantized activations add theirs). So a config that
    inherits a float model changes one entry, and means its bits in MMEngine's Runner, in
    ``init_detector``, in ``DetInferencer`` and in every other tool that builds ``cfg.model``::

        custom_imports = dict(imports=['lbwdet.models'])
        model = dict(type='LBWDetector', detector='RetinaNet', quant=dict(weight=dict(bit_width=4)))

    A detector inside another model, as of semi-supervised training, takes the entry where
    it is: ``model=dict(detector=dict(type='LBWDetector', ...))``.

    Args:
        detector: the ``type`` that the float config has.
        quant: the arguments of :func:`lbwdet.layers.quantize_`:
            ``dict(weight=dict(bit_width=4, ...), activation=dict(bit_width=8, ...),
            keep_float=[...], overrides={...})``; None is the float detector.
        **settings: everything else of the model, inherited.

    Raises:
        ConfigError: ``detector`` is not the name of a type, or ``quant`` are no settings.
    """
    if isinstance(detector, Mapping):
        raise ConfigError(
            f"LBWDetector: detector={shown(dict(detector))} is a model of its own; name the type "
            "of the one that is quantized, detector='FasterRCNN', or move the entry inside: "
            "model=dict(detector=dict(type='LBWDetector', detector='FasterRCNN', quant=...))"
        )
    if not isinstance(quant, Mapping | None):
        raise ConfigError(
            f"LBWDetector: quant={shown(quant)}; write quant=dict(weight=dict(bit_width=6))"
        )
    model: nn.Module = MODELS.build(dict(type=detector, **settings))
    return model if quant is None else quantize_as_built_(model, quant)


MODELS.register_module(module=LBWDetector)


def low_bit_entry(model: Mapping[str, Any], quant: Mapping[str, Any]) -> dict[str, Any]:
    """What a config changes in its float ``model`` to have it quantized.

    >>> low_bit_entry(dict(type="RetinaNet"), dict(weight=dict(bit_width=4)))
    {'type': 'LBWDetector', 'detector': 'RetinaNet', 'quant': {'weight': {'bit_width': 4}}}
    """
    inner = model.get("detector")
    if isinstance(inner, Mapping):  # of a tracker, or of semi-supervised training
        return dict(detector=low_bit_entry(inner, quant))
    kind = model["type"]
    name = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
    return dict(type="LBWDetector", detector=name, quant=quant)
