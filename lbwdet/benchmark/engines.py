"""How each engine is loaded; other engines' graphs are made on the way."""

import importlib.util
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lbwdet.benchmark.process import EngineSpec
from lbwdet.benchmark.settings import Bench

NATIVE = "native"
REFERENCE = "reference"
TORCH = "torch-fp32"
PEERS = "lbwdet.benchmark.peers"
OWN = "lbwdet.deploy.benchmark_engine"
NEEDS = dict(onnxruntime=("onnxruntime", "onnx"), openvino=("openvino",))


def engine_specs(bench: Bench, calibration: Sequence[np.ndarray]) -> Iterator[EngineSpec]:
    """How to load each engine; why not, of those that cannot be, goes to ``unavailable``.

    Args:
        bench: what is wanted.
        calibration: images for the peers' int8.
    """
    settings = bench.settings
    own = dict(path=str(bench.artifact), input_size=settings.input_size)
    for engine in dict.fromkeys(settings.against):
        if engine == NATIVE:
            arguments = own | dict(threads=settings.num_threads, isa=settings.isa)
            yield EngineSpec(NATIVE, OWN, "NativeBenchmark", arguments)
        elif engine == REFERENCE:
            yield EngineSpec(REFERENCE, OWN, "ReferenceBenchmark", own)
        elif settings.config is None:
            bench.unavailable[engine] = "no float detector was named (--float CONFIG:CHECKPOINT)"
        elif engine == "torch":
            yield EngineSpec(TORCH, PEERS, "TorchBenchmark", _peer(bench))
        else:
            yield from _graph_specs(bench, engine, calibration)


def _peer(bench: Bench) -> dict[str, Any]:
    settings = bench.settings
    return dict(
        config=settings.config,
        checkpoint=settings.checkpoint,
        threads=settings.num_threads,
        input_size=settings.input_size,
        cfg_options=settings.cfg_options,
    )


def _graph_specs(
    bench: Bench, engine: str, calibration: Sequence[np.ndarray]
) -> Iterator[EngineSpec]:
    missing = [name for name in NEEDS[engine] if importlib.util.find_spec(name) is None]
    if missing:
        reason = f"not installed: {', '.join(missing)} (pip install 'lbwdet[engines]')"
        bench.unavailable[engine] = reason
        return
    from lbwdet.benchmark.graphs import calibration_inputs, make_graphs
    from lbwdet.benchmark.peers import TorchBenchmark

    peer = TorchBenchmark(**_peer(bench))
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
