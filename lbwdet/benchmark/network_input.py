"""From an image to what a detector's network reads, by OpenCV, which is quick."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from lbwdet.deploy.runtime.arithmetic.resample import resample
from lbwdet.deploy.runtime.operations.preprocess import Preprocess

Array = np.ndarray


class NetworkInput:
    """The inputs of an ONNX model with ``part='network'``.

    Args:
        preprocess: fields of a :class:`Preprocess`, as JSON has them.
        input_size: height and width that every image is resized to; None: as ``preprocess`` says.
    """

    def __init__(
        self, preprocess: Mapping[str, Any], input_size: Sequence[int] | None = None
    ) -> None:
        fields: dict[str, Any] = {
            name: tuple(entry) if isinstance(entry, list) else entry
            for name, entry in preprocess.items()
        }
        operation = Preprocess(**fields)
        if input_size is not None:
            height, width = input_size
            operation = replace(operation, size=(width, height), keep_ratio=False)
        self._operation = operation
        self._table = operation.table(None)
        self._pixel, self._value = operation.fill(None)
        self._order = (2, 1, 0) if operation.to_rgb else (0, 1, 2)
        self._inputs = np.empty((3, 0, 0), np.float32)  # kept: fresh memory costs as much again

    def __call__(self, image: Array) -> tuple[Array, Array, Array]:
        """Of an image [H, W, 3] uint8: ``image``, until the next call, ``size`` and ``factor``."""
        operation = self._operation
        height, width = operation.resized(*image.shape[:2])
        bottom, right = operation.padded(height, width)
        factor = np.array([image.shape[1] / width, image.shape[0] / height], np.float32)
        if image.shape[:2] != (height, width):
            if operation.antialias:
                image = resample(image, height, width)
            else:
                image = cv2.resize(image, (width, height))
        planes = cv2.split(image)
        shape = (3, *operation.sides(bottom, right))
        if self._inputs.shape != shape:
            self._inputs = np.empty(shape, np.float32)
        for channel, source in enumerate(self._order):
            plane = self._inputs[channel]
            cv2.LUT(planes[source], self._table[channel], plane[:height, :width])
            plane[height:bottom, :right] = plane[:height, width:right] = self._pixel[channel]
            plane[bottom:] = plane[:bottom, right:] = self._value[channel]
        return self._inputs[None], np.array([right, bottom], np.float32), factor
