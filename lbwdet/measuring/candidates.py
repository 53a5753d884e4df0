"""What can be compared: anything that turns an image into boxes."""

import copy
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import Config

from lbwdet import __version__
from lbwdet.configs import class_name
from lbwdet.deploy.runtime.masks import Mask
from lbwdet.errors import DataError, LBWError, first_line
from lbwdet.layers import quantized_layers
from lbwdet.measuring.code_digest import code_digest
from lbwdet.measuring.detectors import build_detector, test_dataset
from lbwdet.measuring.layer_report import LayerReport, report_layer
from lbwdet.measuring.size import WeightSize, weight_size

# Rooms whose code decides what a detector detects.
DECISIVE_CODE = (
    "compat",
    "datasets/image_loading.py",
    "images.py",
    "measuring/candidates.py",
    "measuring/detectors.py",
    "layers",
    "models",
    "quantizers",
    "training/build.py",
)


@dataclass(frozen=True)
class Detections:
    """What a detector found in one image.

    Attributes:
        boxes: [N, 4] float32: x1, y1, x2, y2 in original pixels.
        scores: [N] float32 in 0..1.
        labels: [N] int64: index into the class names.
        masks: the pixels of each, of a detector that finds them.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: tuple[Mask, ...] | None = None

    @classmethod
    def none(cls) -> "Detections":
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.float32, np.int64]]:
        """Box [4], score and label of each, in order."""
        return zip(self.boxes, self.scores, self.labels, strict=True)

    def above(self, score: float) -> "Detections":
        """Those of this score or more."""
        kept, masks = self.scores >= score, self.masks
        if masks is not None:
            masks = tuple(mask for mask, keep in zip(masks, kept, strict=True) if keep)
        return Detections(self.boxes[kept], self.scores[kept], self.labels[kept], masks)

    def check(self, where: str, num_classes: int) -> None:
        """Raises ``LBWError`` unless shapes agree and every number makes sense."""
        count = len(self.scores)
        if self.boxes.shape != (count, 4) or self.labels.shape != (count,):
            raise LBWError(
                f"{where}: boxes {self.boxes.shape}, scores {self.scores.shape} and labels "
                f"{self.labels.shape} do not belong together; want [N, 4], [N], [N]"
            )
        if not (np.isfinite(self.boxes).all() and np.isfinite(self.scores).all()):
            raise LBWError(
                f"{where}: NaN or infinite boxes or scores; the weights have diverged or the "
                "engine is broken, so there is nothing to compare"
            )
        if count and not (self.labels.min() >= 0 and self.labels.max() < num_classes):
            raise LBWError(
                f"{where}: labels {self.labels.min()}..{self.labels.max()}, "
                f"but there are {num_classes} classes"
            )


class Detects(Protocol):
    """Anything that turns an image into boxes, under a name that messages know it by."""

    @property
    def name(self) -> str: ...

    def detect(self, image: np.ndarray) -> Detections:
        """Boxes found in one [H, W, 3] uint8 BGR image."""
        ...


class Candidate(Detects, Protocol):
    """A model to compare, whichever engine runs it.

    Attributes:
        engine: What runs it: ``torch``, ``native``, ...
        config: The config or artifact it came from, as the user named it.
        checkpoint: The weights file, as the user named it; None without one.
        classes: Class names, in the order of the labels.
        size: Bytes and bit width of its weights.
        digest: Changes whenever the detections may change.
    """

    engine: str
    config: str
    checkpoint: str | None
    classes: tuple[str, ...]
    size: WeightSize
    digest: str

    def layers(self) -> Sequence[LayerReport]:
        """The layers with low-bit weights; none of a float model."""
        ...


class ArrayDetector:
    """A built detector in eval mode, fed with image arrays by its config's test pipeline."""

    def __init__(self, cfg: Config, model: Any, name: str = "detector") -> None:
        self.name = name
        self.model = model
        self._pipeline = Compose(array_pipeline(cfg))

    @torch.no_grad()
    def detect(self, image: np.ndarray) -> Detections:
        """Boxes found in one image, as the config's pipeline loads it.

        Raises:
            DataError: the pipeline or the network cannot take an image of this shape.
        """
        try:
            found = self.model.test_step(self._batch(image))[0].pred_instances
        except LBWError:
            raise
        except Exception as error:  # of any step, any layer
            what = f"an image of shape {list(image.shape)} cannot be processed"
            raise DataError(f"{what}: {first_line(error)}") from error
        return Detections(
            boxes=found.bboxes.cpu().numpy().astype(np.float32),
            scores=found.scores.cpu().numpy().astype(np.float32),
            labels=found.labels.cpu().numpy().astype(np.int64),
            masks=tuple(Mask.of(pixels.cpu().numpy()) for pixels in found.masks)
            if "masks" in found
            else None,
        )

    def network_input(self, image: np.ndarray) -> torch.Tensor:
        """What the network sees of an image: resized, normalized, padded, [1, 3, h, w] float32."""
        inputs: torch.Tensor = self.model.data_preprocessor(self._batch(image), False)["inputs"]
        return inputs

    def _batch(self, image: np.ndarray) -> dict[str, list[Any]]:
        data = self._pipeline(dict(img=image, img_id=0))
        return dict(inputs=[data["inputs"]], data_samples=[data["data_samples"]])


class TorchCandidate(ArrayDetector):
    """MMDetection itself on a config and a checkpoint, weights fake-quantized, eval mode."""

    engine = "torch"

    def __init__(
        self,
        name: str,
        cfg: Config,
        checkpoint: str | Path | None,
        config: str = "",
        device: str = "cpu",
    ) -> None:
        self.config = config or str(cfg.filename)
        self.checkpoint = None if checkpoint is None else str(checkpoint)
        super().__init__(cfg, build_detector(cfg, checkpoint, device), name)
        self.classes = tuple(self.model.dataset_meta["classes"])
        self.size = weight_size(self.model)
        self.digest = _digest(cfg, self.model, device)

    def layers(self) -> list[LayerReport]:
        return [report_layer(name, layer) for name, layer in quantized_layers(self.model).items()]


def file_pipeline(cfg: Config) -> list[dict[str, Any]]:
    """The config's test pipeline, without steps that read annotations."""
    steps = copy.deepcopy(test_dataset(cfg)["pipeline"])
    return [step for step in steps if not class_name(step["type"]).endswith("LoadAnnotations")]


def array_pipeline(cfg: Config) -> list[dict[str, Any]]:
    """The same from a loaded image on."""
    return [dict(type="mmdet.LoadImageFromNDArray"), *file_pipeline(cfg)[1:]]


def _digest(cfg: Config, model: torch.nn.Module, device: str) -> str:
    """Digest of everything that decides the detections: settings, weights, code, versions."""
    digest = hashlib.sha256()
    settings = {key: cfg.get(key) for key in ("model", "custom_hooks", "test_dataloader")}
    digest.update(repr((settings, __version__, torch.__version__, device)).encode())
    for key, value in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.cpu().contiguous().view(-1).view(torch.uint8).numpy())
    digest.update(code_digest(DECISIVE_CODE).encode())
    return digest.hexdigest()
