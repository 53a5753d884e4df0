"""How each engine is loaded; other engines' graphs are made on the way."""

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lbwdet.benchmark.process import EngineSpec
from lbwdet.benchmark.settings import Bench
from lbwdet.benchmark.whole_graphs import WholeGraphs

NATIVE = "native"
REFERENCE = "reference"
TORCH = "torch-fp32"
PEERS = "lbwdet.benchmark.peers"
TORCH_MODES = "lbwdet.benchmark.torch_modes"
OWN = "lbwdet.deploy.benchmark_engine"
NEEDS = {
    "onnxruntime": ("onnxruntime", "onnx"),
    "openvino": ("openvino",),
    "ncnn": ("ncnn", "pnnx"),
    "onnxruntime-whole": ("onnxruntime", "onnx"),
    "openvino-whole": ("openvino", "onnx"),
}
WHOLE = "-whole"
MODES = {
    "torch": (TORCH, PEERS, "TorchBenchmark"),
    "torch-channels-last": ("torch-channels-last", TORCH_MODES, "ChannelsLastBenchmark"),
    "torch-compile": ("torch-compile", TORCH_MODES, "CompiledBenchmark"),
}


def engine_specs(bench: Bench, calibration: Sequence[np.ndarray]) -> Iterator[EngineSpec]:
    """How to load each engine; why not, of those that cannot be, goes to ``unavailable``.

    Args:
        bench: what is wanted.
        calibration: images for the peers' int8.
    """
    settings = bench.settings
    whole = WholeGraphs(bench, calibration)
    path = str(bench.artifact)
    own: dict[str, Any] = dict(path=path, input_size=settings.input_size)
    for engine in dict.fromkeys(settings.against):
        if engine == NATIVE:
            for name, file in _artifacts(bench).items():
                arguments = own | dict(path=file, threads=settings.num_threads, isa=settings.isa)
                yield EngineSpec(
                    name, OWN, "NativeBenchmark", arguments, parallel=True, files=(file,)
                )
        elif engine == REFERENCE:
            yield EngineSpec(REFERENCE, OWN, "ReferenceBenchmark", own, files=(path,))
        elif settings.config is None:
            bench.unavailable[engine] = "no float detector was named (--float CONFIG:CHECKPOINT)"
        elif engine in MODES:
            checkpoint = settings.checkpoint
            yield EngineSpec(
                *MODES[engine],
                _peer(bench),
                files=() if checkpoint is None else (str(checkpoint),),
            )
        elif not _installed(bench, engine):
            continue
        elif engine.endswith(WHOLE):
            yield from whole.specs(engine.removesuffix(WHOLE))
        else:
            yield from _graph_specs(bench, engine, calibration)


def _artifacts(bench: Bench) -> dict[str, str]:
    """The native engine's, by the names of their rows."""
    others = {
        f"{NATIVE}-{Path(path).stem}": str(Path(path).resolve()) for path in bench.settings.also
    }
    return {NATIVE: str(bench.artifact), **others}


def _peer(bench: Bench) -> dict[str, Any]:
    settings = bench.settings
    return dict(
        config=settings.config,
        checkpoint=settings.checkpoint,
        threads=settings.num_threads,
        input_size=settings.input_size,
        cfg_options=settings.cfg_options,
    )


def _installed(bench: Bench, engine: str) -> bool:
    missing = [name for name in NEEDS[engine] if importlib.util.find_spec(name) is None]
    if missing:
        reason = f"not installed: {', '.join(missing)} (pip install 'lbwdet[engines]')"
        bench.unavailable[engine] = reason
    return not missing


def _graph_specs(
    bench: Bench, engine: str, calibration: Sequence[np.ndarray]
) -> Iterator[EngineSpec]:
    from lbwdet.benchmark.graphs import calibration_inputs, make_graphs, takes_maps
    from lbwdet.benchmark.peers import TorchBenchmark

    peer = TorchBenchmark(**_peer(bench))
    if not takes_maps(peer):
        whole = f"; take {engine}{WHOLE}" if f"{engine}{WHOLE}" in NEEDS else ""
        bench.unavailable[engine] = (
            f"its graph ends where boxes are made, and MMDetection's head expects more of it{whole}"
        )
        return
    inputs = calibration_inputs(peer, calibration)
    for precision in ("fp32", "int8"):
        name = f"{engine}-{precision}"
        try:
            graphs = make_graphs(engine, precision, peer, inputs, bench.folder / "graphs" / engine)
        except Exception as error:  # whatever another project's converter does not like
            bench.unavailable[name] = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        arguments = _peer(bench) | dict(engine=engine) | graphs
        yield EngineSpec(name, PEERS, "GraphBenchmark", arguments)
