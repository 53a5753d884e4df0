"""What a server answers, as OpenAPI describes it."""

import json

from pydantic import BaseModel, ConfigDict, Field

from lbwdet.deploy.runtime.detector import DetectionResult


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MaskAnswer(_Answer):
    """COCO's compressed run-length encoding of a mask of the image's size."""

    size: list[int] = Field(description="height, width")
    counts: str


class DetectionAnswer(_Answer):
    """One object."""

    label: str = Field(description="name of the class")
    class_index: int = Field(description="into the classes of GET /model")
    score: float
    box: list[float] = Field(description="x1, y1, x2, y2 in pixels of the upright image")
    mask: MaskAnswer | None = Field(None, description="of a model with masks")


class ImageAnswer(_Answer):
    """What was found in one image, best first."""

    width: int = Field(description="of the upright image")
    height: int
    detections: list[DetectionAnswer]


class RefusalAnswer(_Answer):
    """Why there are no boxes."""

    detail: str


class HealthAnswer(_Answer):
    """The server takes requests."""

    status: str


class ModelAnswer(_Answer):
    """What runs here, and its limits."""

    name: str
    classes: list[str]
    bytes: int = Field(description="of the artifact")
    instruction_set: str
    workers: int
    threads: int = Field(description="of each worker")
    queue: int
    max_bytes: int
    max_pixels: int
    timeout: float = Field(description="seconds")
    score: float = Field(description="threshold, unless a request says another")


def image_json(size: tuple[int, int], found: DetectionResult) -> bytes:
    """An :class:`ImageAnswer` as JSON.

    Args:
        size: height and width of the image.
        found: in it.
    """
    entries = [
        dict(entry, class_index=int(label))
        for entry, label in zip(found.as_json(), found.labels, strict=True)
    ]
    height, width = size
    answer = dict(width=width, height=height, detections=entries)
    return json.dumps(answer, allow_nan=False, separators=(",", ":")).encode()
