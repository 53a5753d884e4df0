"""Static 8 bits of a YOLOX in ONNX by ONNX Runtime's own tool, for web/benchmark/benchmark.mjs.

Example:
    python web/benchmark/static_int8.py yolox_nano.onnx IMAGES yolox_nano_int8.onnx
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import version_converter
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from lbwdet.deploy.runtime.arithmetic.resize import resize
from lbwdet.images import find_images, read_image

_PAD = 114


class Images(CalibrationDataReader):
    """Images as YOLOX takes them: blue first, 0 to 255, padded to a square."""

    def __init__(self, paths: list[Path], name: str, side: int) -> None:
        self._inputs = self._read(paths, name, side)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._inputs, None)

    @staticmethod
    def _read(paths: list[Path], name: str, side: int) -> Iterator[dict[str, np.ndarray]]:
        for path in paths:
            image = read_image(path)
            factor = side / max(image.shape[:2])
            height, width = (max(int(length * factor + 0.5), 1) for length in image.shape[:2])
            square = np.full((side, side, 3), _PAD, np.uint8)
            square[:height, :width] = resize(image, height, width)
            yield {name: square.transpose(2, 0, 1)[None].astype(np.float32)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("float", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--num", type=int, default=32, help="images, taken evenly [%(default)s]")
    options = parser.parse_args()
    found = find_images(options.images)
    paths = found[:: max(1, len(found) // options.num)][: options.num]
    (given,) = onnx.load(options.float).graph.input
    side = given.type.tensor_type.shape.dim[-1].dim_value
    with tempfile.TemporaryDirectory() as folder:
        newer, prepared = (Path(folder) / name for name in ("newer.onnx", "prepared.onnx"))
        # Scales per channel came with operator set 13.
        onnx.save(version_converter.convert_version(onnx.load(options.float), 13), newer)
        quant_pre_process(newer, prepared)
        quantize_static(
            prepared,
            options.out,
            Images(paths, given.name, side),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


if __name__ == "__main__":
    main()
