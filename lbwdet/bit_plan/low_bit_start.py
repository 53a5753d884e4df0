"""Starting once more from weights that are low-bit already."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import Tensor

from lbwdet.checkpoints import check_fit
from lbwdet.errors import CheckpointError, ConfigError
from lbwdet.layers import described_settings, quantize_, quantized_layers
from lbwdet.posttraining import write_weights
from lbwdet.quantizers import FLOAT_BIT_WIDTH
from lbwdet.training.build import build_model


def low_bit_settings(meta: Mapping[str, Any]) -> dict[str, str]:
    """How each layer of a checkpoint was quantized, in words; empty for a float one."""
    found = meta.get("lbwdet")
    quant = found.get("quant") if isinstance(found, Mapping) else None
    return dict(quant) if isinstance(quant, Mapping) else {}


def write_projected(
    cfg: Config,
    checkpoint: str | Path,
    state: Mapping[str, Tensor],
    quant: Mapping[str, str],
    out: Path,
) -> None:
    """Writes the weights that a low-bit detector computes with as those of a float one.

    Its master weights may lie anywhere between levels.

    Args:
        cfg: the float config.
        checkpoint: what ``state`` was read from.
        state: of the low-bit detector.
        quant: how each layer was quantized, in words.
        out: the checkpoint to write.

    Raises:
        CheckpointError: it does not fit, or does not say how its weights are projected.
    """
    model = build_model(cfg)
    check_fit(model, state, checkpoint)
    model.load_state_dict(state)
    try:
        settings = {name: described_settings(words) for name, words in quant.items()}
        quantize_(model, dict(bit_width=FLOAT_BIT_WIDTH), overrides=settings)
    except ConfigError as error:
        raise CheckpointError(f"{checkpoint}: cannot be continued: {error}") from error
    for layer in quantized_layers(model).values():
        layer.weight.data.copy_(layer.fake_quantized_weight().detach())
    write_weights(out, model, {})
