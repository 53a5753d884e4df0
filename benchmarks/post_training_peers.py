"""The int8 of other engines for the same network, by the same photographs.

Each quantizes what MMDetection's ``forward`` computes, image to maps; boxes are made of the maps
by MMDetection's head in every case.
"""

import copy
import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yolox_photographs as photographs
from mmengine.config import Config

from lbwdet.measuring.candidates import Detections
from lbwdet.measuring.testset import TestSet, load_test_set

ENGINES = ("OpenVINO", "OpenVINO, mixed", "OpenVINO, accuracy-aware", "ONNX Runtime")
DROP = 0.01  # of mAP, what the accuracy-aware mode may lose

Array = np.ndarray
Detect = Callable[[list[dict[str, Any]]], list[Detections]]


class Maps(torch.nn.Module):
    """Image [1, 3, 416, 416], as the test pipeline gives it, to a flat tuple of nine maps."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        by_kind = self.model._forward(image)
        return tuple(one for kind in by_kind for one in kind)


def quantized(engine: str, model: Any, cfg: Config, chosen: tuple[TestSet, list[int]]) -> Detect:
    """What detects with the network in this engine's int8."""
    images, indices = chosen
    inputs = [_input(model, photographs.read(cfg, images, index)) for index in indices]
    if engine == "ONNX Runtime":
        return _detect(model, _onnxruntime(Maps(model), inputs))
    return _detect(model, _openvino(engine, Maps(model), inputs, model, cfg, chosen))


def _input(model: Any, data: dict[str, Any]) -> Array:
    return model.data_preprocessor(dict(inputs=[data["inputs"]]), False)["inputs"].numpy()


def _detect(model: Any, run: Callable[[Array], list[Array]]) -> Detect:
    """Detections of one image at a time, with these maps in the place of the network's own."""

    def detect(data: list[dict[str, Any]]) -> list[Detections]:
        (one,) = data
        maps = [torch.from_numpy(np.array(each)) for each in run(_input(model, one))]
        levels = len(maps) // 3
        by_kind = tuple(maps[kind * levels : (kind + 1) * levels] for kind in range(3))
        head = model.bbox_head
        with torch.no_grad():
            (found,) = head.predict_by_feat(
                *by_kind, batch_img_metas=[one["data_samples"].metainfo], rescale=True
            )
        return [Detections(found.bboxes.numpy(), found.scores.numpy(), found.labels.numpy())]

    return detect


def _onnxruntime(maps: Maps, inputs: list[Array]) -> Callable[[Array], list[Array]]:
    import onnxruntime
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    class Reader:
        def __init__(self) -> None:
            self._arrays = iter(inputs)

        def get_next(self) -> dict[str, Array] | None:
            array = next(self._arrays, None)
            return None if array is None else dict(input=array)

    with tempfile.TemporaryDirectory() as folder:
        plain, low = (str(Path(folder) / name) for name in ("float.onnx", "int8.onnx"))
        torch.onnx.export(
            maps,
            (torch.from_numpy(inputs[0]),),
            plain,
            input_names=["input"],
            opset_version=17,
            dynamo=False,
        )
        quantize_static(
            plain,
            low,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        session = onnxruntime.InferenceSession(low, providers=["CPUExecutionProvider"])
    return lambda image: session.run(None, dict(input=image))


def _openvino(
    engine: str,
    maps: Maps,
    inputs: list[Array],
    model: Any,
    cfg: Config,
    chosen: tuple[TestSet, list[int]],
) -> Callable[[Array], list[Array]]:
    import nncf
    import openvino

    plain = openvino.convert_model(
        maps, example_input=torch.from_numpy(inputs[0]), input=[list(inputs[0].shape)]
    )
    data = nncf.Dataset(inputs)
    # The default ranges of activations are symmetric; SiLU's are far from it.
    preset = None if engine == "OpenVINO" else nncf.QuantizationPreset.MIXED
    if engine != "OpenVINO, accuracy-aware":
        low = nncf.quantize(plain, data, preset=preset, subset_size=len(inputs))
        return _runner(openvino.compile_model(low, "CPU"))

    train = copy.deepcopy(cfg)
    train.test_dataloader = train.train_dataloader
    images, indices = chosen

    def validate(compiled: Any, items: Any) -> tuple[float, None]:
        detect = _detect(model, _runner(compiled))
        found = [detect([photographs.read(cfg, images, index)])[0] for index in items]
        part = dataclasses.replace(load_test_set(train), images=[images.images[i] for i in items])
        return photographs.mean_ap(part, found)["mAP_area"] / 100, None

    low = nncf.quantize_with_accuracy_control(
        plain,
        calibration_dataset=data,
        validation_dataset=nncf.Dataset(indices),
        validation_fn=validate,
        max_drop=DROP,
        preset=preset,
        subset_size=len(inputs),
    )
    return _runner(openvino.compile_model(low, "CPU"))


def _runner(compiled: Any) -> Callable[[Array], list[Array]]:
    return lambda image: [compiled(image)[output] for output in compiled.outputs]
