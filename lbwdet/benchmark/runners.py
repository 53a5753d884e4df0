"""Graphs in the files of other engines, loaded so that they run as fast as these can."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray
Run = Callable[..., list[Array]]
SIZES = 8  # of images that graphs are kept ready for


def load_onnxruntime(path: str | Path, threads: int) -> Run:
    """What takes a graph's inputs in their order and returns its outputs."""
    import onnxruntime

    @functools.lru_cache(SIZES)
    def session(image: tuple[int, ...] | None) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        if image is not None:
            for name, side in zip(("height", "width"), image[2:], strict=True):
                options.add_free_dimension_override_by_name(name, side)
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(*arrays: Array) -> list[Array]:
        loaded = session(_image(arrays))
        names = [entry.name for entry in loaded.get_inputs()]
        inputs = map(np.ascontiguousarray, arrays)
        found: list[Array] = loaded.run(None, dict(zip(names, inputs, strict=True)))
        return found

    return run


def load_openvino(path: str | Path, threads: int) -> Run:
    """The same."""
    import openvino

    core = openvino.Core()
    model = core.read_model(Path(path))
    settings = dict(INFERENCE_NUM_THREADS=threads, NUM_STREAMS=1, PERFORMANCE_HINT="LATENCY")
    settings["INFERENCE_PRECISION_HINT"] = "f32"  # no silent bfloat16

    @functools.lru_cache(SIZES)
    def request(image: tuple[int, ...] | None) -> Any:
        if image is not None:
            model.reshape({0: list(image)})
        return core.compile_model(model, "CPU", settings).create_infer_request()

    def run(*arrays: Array) -> list[Array]:
        inputs = list(map(np.ascontiguousarray, arrays))
        results = request(_image(arrays)).infer(inputs, share_inputs=True)
        return [np.array(results[index]) for index in range(len(results))]

    return run


LOAD = dict(onnxruntime=load_onnxruntime, openvino=load_openvino)


def _image(arrays: tuple[Array, ...]) -> tuple[int, ...] | None:
    """The shape [1, 3, h, w] that a graph is made ready for; None: the number of rows is free."""
    shape = arrays[0].shape
    return shape if shape[1] == 3 else None
