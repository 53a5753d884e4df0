"""A published YOLOX as a checkpoint of MMDetection's: what ``lbwdet import-yolox`` does."""

import copy
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.datasets import CocoDataset
from mmdet.models.dense_heads import YOLOXHead
from mmengine.config import Config
from torch import Tensor, nn

from lbwdet.checkpoints import check_fit, read_checkpoint
from lbwdet.configs import load_config
from lbwdet.datasets.classes import config_classes
from lbwdet.datasets.image_loading import ImageLoader
from lbwdet.errors import CheckpointError, ConfigError
from lbwdet.files import check_new_file
from lbwdet.importing.classes import channels_of
from lbwdet.importing.norms import (
    normalized_convs,
    put_folded_,
    scale_to_unit_variance_,
    unfold_,
)
from lbwdet.importing.onnx_file import Convolutions, Graph, read_convolutions
from lbwdet.importing.yolox_names import SIZES, STEM, in_mmdet_names, in_order
from lbwdet.layers import quantized_layers
from lbwdet.measuring.calibration_images import calibration_images
from lbwdet.measuring.candidates import ArrayDetector
from lbwdet.measuring.detectors import test_dataset
from lbwdet.posttraining import write_detector
from lbwdet.progress import Progress
from lbwdet.training.build import build_model

CLASS_LAYERS = "bbox_head.multi_level_conv_cls"
LARGEST_DIFFERENCE = 1e-4  # where 1e-5 is rounding in float32; another order of layers gives 1


@dataclass(frozen=True)
class Imported:
    """What was written.

    Attributes:
        size: of the network: ``'nano'``, ... or its stem's channels.
        classes: those of the config's data set.
        images: whose statistics the batch norms were given; 0 where they brought their own.
        difference: to the outputs of ONNX Runtime on an image, root mean square relative to
            theirs; None without.
    """

    checkpoint: Path
    size: str
    classes: tuple[str, ...]
    images: int
    difference: float | None

    def text(self) -> str:
        said = f"{self.checkpoint}: YOLOX-{self.size}, {len(self.classes)} classes"
        if self.images:
            said += f", batch norm measured on {self.images} images"
        if self.difference is not None:
            said += f", outputs within {self.difference:.1e} of ONNX Runtime's"
        return said


def import_yolox(
    source: str | Path,
    out: str | Path,
    config: str | Path | None = None,
    images: str | None = None,
    num: int = 300,
    data_root: str | None = None,
) -> Imported:
    """Writes the weights of a published YOLOX under MMDetection's names.

    Every convolution's channels are scaled so that batch norm is given unit variance: the
    same function, better to quantize and to train.

    Args:
        source: ``.pth`` as YOLOX's repository or MMDetection releases them, or ``.onnx`` with
            batch norm folded into the convolutions.
        out: the checkpoint to write.
        config: of the float detector; its data set's classes are picked out of the published
            ones by name. By default MMDetection's own config of the file's size.
        images: for ``.onnx``: ``'train'``, ``'val'`` or ``'test'`` of the config, or images or
            a folder of images, which the batch norms' statistics are measured on.
        num: so many of them, taken evenly.
        data_root: overrides the data root of the config.

    Raises:
        CheckpointError: the file is damaged, of another architecture or of another size.
        ConfigError: the config is no float YOLOX, has a class that the file does not know, or
            no images are named.
        DataError: the images cannot be read.
    """
    check_new_file(out, source, *([] if config is None else [config]))
    published = _read(source)
    cfg = load_config(config or _shipped(published), data_root=data_root)
    model = _build(cfg)
    own = int(model.state_dict()[STEM].shape[0])
    if own != published.stem:
        raise CheckpointError(
            f"{source}: is YOLOX-{published.size}, but {cfg.filename} is "
            f"YOLOX-{SIZES.get(own, own)}; name a file and a config of the same size"
        )
    folded = _by_name(model, published.convolutions, source)
    number = _number_of_classes(published.state, folded, source)
    classes, channels = _classes(cfg, number, source)
    model = _build(cfg, number)
    difference, measured = None, 0
    if folded:
        if images is None:
            raise ConfigError(
                f"{source}: batch norm is folded into its convolutions; name images to measure "
                "its statistics on: --images train, or a folder"
            )
        _check_shapes(model, folded, source)
        put_folded_(model, folded)
        difference, measured = _measure(model, cfg, source, images, num)
    else:
        check_fit(model, published.state, source)
        model.load_state_dict(published.state)
    scale_to_unit_variance_(model)
    for name, value in model.named_parameters():
        if name.startswith(f"{CLASS_LAYERS}."):
            value.data = value.data[channels]
    write_detector(Path(out), model, classes)
    return Imported(Path(out), published.size, classes, measured, difference)


@dataclass(frozen=True)
class _Published:
    """What is in the file: a state dict in MMDetection's names, or folded convolutions."""

    path: Path
    stem: int
    state: Mapping[str, Tensor]
    convolutions: Convolutions

    @property
    def size(self) -> str:
        return SIZES.get(self.stem, str(self.stem))


def _read(source: str | Path) -> _Published:
    path = Path(source)
    convolutions: Convolutions = []
    state: dict[str, Tensor] = {}
    stem: tuple[int, ...] = ()
    if path.suffix == ".onnx":
        convolutions = read_convolutions(path)
        stem = convolutions[0][0].shape if convolutions else ()
    else:
        state = in_mmdet_names(read_checkpoint(source, ("ema", "model", "state_dict"))[0])
        stem = tuple(state[STEM].shape) if STEM in state else ()
    if len(stem) != 4 or stem[1] != 12:  # Focus stacks 4 pixels of 3 colours
        raise CheckpointError(
            f"{source}: is no YOLOX: its first convolution, backbone.backbone.stem.conv.conv as "
            "YOLOX's repository has it, must read 12 channels"
        )
    return _Published(path, stem[0], state, convolutions)


def _shipped(published: _Published) -> str:
    if published.stem not in SIZES:
        raise ConfigError(
            f"{published.path}: has {published.stem} channels in its stem, and MMDetection ships "
            "no YOLOX of that size; name your config: --config CONFIG"
        )
    return f"mmdet::yolox/yolox_{published.size}_8xb8-300e_coco.py"


def _build(cfg: Config, number: int | None = None) -> Any:
    """The config's YOLOX in evaluation mode, with ``number`` classes."""
    cfg = copy.deepcopy(cfg)
    if number is not None:
        cfg.model.bbox_head.num_classes = number
    model: Any = build_model(cfg)
    if not isinstance(getattr(model, "bbox_head", None), YOLOXHead) or quantized_layers(model):
        raise ConfigError(f"{cfg.filename}: is no float YOLOX; name the config of one")
    return model.eval()


def _by_name(
    model: nn.Module, convolutions: Convolutions, source: str | Path
) -> dict[str, tuple[Tensor, Tensor]]:
    """Convolutions in the order in which they run, by what MMDetection calls them."""
    if not convolutions:
        return {}
    normalized = {f"{name}.conv" for name in normalized_convs(model)}
    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    names = in_order(name.removesuffix(".conv") if name in normalized else name for name in layers)
    if len(names) != len(convolutions):
        raise CheckpointError(
            f"{source}: has {len(convolutions)} convolutions, the config's YOLOX {len(names)}; "
            "name a file and a config of the same architecture"
        )
    pairs = zip(names, convolutions, strict=True)
    return {name: (torch.tensor(weight), torch.tensor(bias)) for name, (weight, bias) in pairs}


def _number_of_classes(
    state: Mapping[str, Tensor],
    folded: Mapping[str, tuple[Tensor, Tensor]],
    source: str | Path,
) -> int:
    first = f"{CLASS_LAYERS}.0"
    found = folded[first][1] if folded else state.get(f"{first}.bias")
    if found is None or found.dim() != 1:
        raise CheckpointError(f"{source}: has no head.cls_preds.0.bias, as a YOLOX has")
    return len(found)


def _classes(cfg: Config, number: int, source: str | Path) -> tuple[tuple[str, ...], list[int]]:
    """The names of the config's classes, and which of the file's channels they are."""
    names = tuple(CocoDataset.METAINFO["classes"])
    wanted = config_classes(cfg, ("test",)) or names
    if number == len(names):
        return wanted, channels_of(wanted, names, source)
    if number != len(wanted):
        raise CheckpointError(
            f"{source}: has {number} classes, neither COCO's {len(names)} nor the {len(wanted)} of "
            f"{cfg.filename}"
        )
    return wanted, [*range(number)]  # trained on this data set, and silent about the names


def _check_shapes(
    model: nn.Module, folded: Mapping[str, tuple[Tensor, Tensor]], source: str | Path
) -> None:
    for name, (weight, _) in folded.items():
        module: Any = model.get_submodule(name)
        own = getattr(module, "conv", module).weight
        if own.shape != weight.shape:
            raise CheckpointError(
                f"{source}: a convolution is of shape {list(weight.shape)} where the config's "
                f"YOLOX has {name} of {list(own.shape)}; its layers are others, or in another order"
            )


def _measure(
    model: nn.Module, cfg: Config, source: str | Path, images: str, num: int
) -> tuple[float, int]:
    """Unfolds batch norm, and compares the outputs with the file's own on one of the images."""
    paths = calibration_images(cfg, images, num)
    detector, load = ArrayDetector(cfg, model), ImageLoader.of(test_dataset(cfg)["pipeline"])

    def forwards() -> Iterator[Callable[[], object]]:
        with Progress("batch norm", len(paths)) as progress:
            for path in paths:
                batch = detector.network_input(load(path))
                yield functools.partial(model.forward, batch, mode="tensor")
                progress.step()

    with torch.no_grad():
        unfold_(model, forwards())
        graph = Graph(source)
        first = detector.network_input(load(paths[0]))
        image = nn.functional.interpolate(first, graph.size)
        found, expected = outputs(model, image), graph(image.numpy())
    if found.shape != expected.shape:
        raise CheckpointError(
            f"{source}: its output is {list(expected.shape)}, not {list(found.shape)} as YOLOX's"
        )
    difference = float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
    if not difference <= LARGEST_DIFFERENCE:
        raise CheckpointError(
            f"{source}: put into {cfg.filename} its outputs differ by {difference:.0%}; "
            "its layers are in another order than YOLOX's, or it was exported with decoded boxes"
        )
    return difference, len(paths)


def outputs(model: Any, image: Tensor) -> np.ndarray:
    """What YOLOX's own export gives: of each point box, objectness and scores, [1, points, 5 + C].

    The box as the network predicts it; objectness and scores behind a sigmoid.
    """
    scores, boxes, objectness = model(image, mode="tensor")
    levels = [
        torch.cat([box, object_.sigmoid(), score.sigmoid()], 1).flatten(2)
        for score, box, object_ in zip(scores, boxes, objectness, strict=True)
    ]
    return torch.cat(levels, 2).permute(0, 2, 1).numpy()
