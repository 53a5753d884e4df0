"""An exported artifact as something to compare, run by one of its own engines."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lbwdet.deploy.inspect import facts
from lbwdet.deploy.runtime.artifact import read_artifact
from lbwdet.deploy.runtime.detector import Detector
from lbwdet.errors import DataError, LBWError
from lbwdet.measuring.candidates import Detections
from lbwdet.measuring.code_digest import code_digest
from lbwdet.measuring.layer_report import LayerReport
from lbwdet.measuring.size import FLOAT_BYTES, WeightSize

# Rooms whose code decides what an artifact detects.
DECISIVE_CODE = ("datasets/image_loading.py", "deploy", "images.py")


class ArtifactCandidate:
    """A ``model.lbw`` file, deployed.

    Args:
        name: what it is called in tables and plots.
        path: the artifact.
        engine: ``'native'`` or ``'reference'``.
        threads: CPU threads of the native engine.

    Raises:
        ArtifactError: the file cannot be run.
        ConfigError: no such engine, or it cannot be had.
    """

    checkpoint: str | None = None

    def __init__(
        self, name: str, path: str | Path, engine: str = "native", threads: int | None = None
    ) -> None:
        self.name = name
        self.engine = engine
        self.config = str(path)
        own = threads if engine == "native" else None  # numpy's threads are set outside
        self._detector = Detector(read_artifact(path), own, engine)
        self.classes = self._detector.classes
        self._facts = facts(path)
        self.size = _size(self._facts)
        decisive = Path(path).read_bytes() + f"{engine}{code_digest(DECISIVE_CODE)}".encode()
        self.digest = hashlib.sha256(decisive).hexdigest()

    def detect(self, image: np.ndarray) -> Detections:
        try:
            found = self._detector(image)
        except LBWError as error:  # the artifact was checked when it was read: it is the image
            raise DataError(str(error)) from error
        return Detections(found.boxes, found.scores, found.labels, found.masks)

    def layers(self) -> list[LayerReport]:
        return [
            LayerReport(
                shape=tuple(layer["shape"]),
                bytes=layer["code_bytes"] + layer["vector_bytes"],
                **{key: layer[key] for key in ("name", "bit_width", "code", "zeros", "dropped")},
            )
            for layer in self._facts["layers"]
        ]


def _size(found: Mapping[str, Any]) -> WeightSize:
    """The whole file against all its numbers in float32."""
    counts: Counter[int] = Counter()
    channels = 0
    for layer in found["layers"]:
        counts[layer["bit_width"]] += layer["weights"]
        channels += 2 * layer["shape"][0]  # gain and bias
    return WeightSize(
        weight_bytes=found["bytes"],
        float_bytes=FLOAT_BYTES * (found["weights"] + channels),
        bit_width=counts.most_common(1)[0][0],
        weights_by_bit_width=dict(sorted((counts + Counter({32: channels})).items())),
    )
