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
    (run,) = _openvino(path, 1, dict(INFERENCE_NUM_THREADS=threads, NUM_STREAMS=1), "LATENCY")
    return run


def load_ncnn(path: str | Path, threads: int) -> Run:
    """The same, of one image; in float32 throughout."""
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_fp16_arithmetic = net.opt.use_fp16_storage = net.opt.use_fp16_packed = False
    weights = Path(path).with_suffix(".bin")
    if net.load_param(str(path)) or net.load_model(str(weights)):
        raise RuntimeError(f"ncnn cannot load {Path(path).name}")
    outputs = sorted(net.output_names(), key=lambda name: int(name.removeprefix("out")))

    def run(image: Array) -> list[Array]:
        extractor = net.create_extractor()
        extractor.input(net.input_names()[0], ncnn.Mat(np.ascontiguousarray(image[0])))
        return [np.array(extractor.extract(name)[1])[None] for name in outputs]

    return run


def onnxruntime_lanes(path: str | Path, number: int) -> list[Run]:
    """As many that compute at the same time, on one thread each."""
    return [load_onnxruntime(path, 1) for _ in range(number)]


def openvino_lanes(path: str | Path, number: int) -> list[Run]:
    """The same: requests of one graph, made ready for throughput."""
    return _openvino(path, number, dict(INFERENCE_NUM_THREADS=number), "THROUGHPUT")


def _openvino(path: str | Path, number: int, settings: dict[str, Any], hint: str) -> list[Run]:
    import openvino

    core = openvino.Core()
    model = core.read_model(Path(path))
    settings = settings | dict(PERFORMANCE_HINT=hint)
    settings["INFERENCE_PRECISION_HINT"] = "f32"  # no silent bfloat16

    @functools.lru_cache(SIZES)
    def requests(image: tuple[int, ...] | None) -> list[Any]:
        if image is not None:
            model.reshape({0: list(image)})
        compiled = core.compile_model(model, "CPU", settings)
        return [compiled.create_infer_request() for _ in range(number)]

    def run(lane: int, *arrays: Array) -> list[Array]:
        inputs = list(map(np.ascontiguousarray, arrays))
        results = requests(_image(arrays))[lane].infer(inputs, share_inputs=True)
        return [np.array(results[index]) for index in range(len(results))]

    return [functools.partial(run, lane) for lane in range(number)]


LOAD = dict(onnxruntime=load_onnxruntime, openvino=load_openvino, ncnn=load_ncnn)
LANES = dict(onnxruntime=onnxruntime_lanes, openvino=openvino_lanes)


def _image(arrays: tuple[Array, ...]) -> tuple[int, ...] | None:
    """The shape [1, 3, h, w] that a graph is made ready for; None: the number of rows is free."""
    shape = arrays[0].shape
    return shape if shape[1] == 3 else None
