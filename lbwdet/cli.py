"""``lbwdet COMMAND ...``: one door to everything."""

import argparse
import logging
import sys
import warnings
from collections.abc import Callable, Sequence

from lbwdet import __version__
from lbwdet.commands import (
    bulk,
    comparison,
    demos,
    deployment,
    importing,
    quantization,
    serving,
    studies,
    training,
)
from lbwdet.commands.options import Run
from lbwdet.errors import LBWError
from lbwdet.terminal import run_command

# Of the modules that the commands import, the extra of pyproject.toml that brings them.
_ENGINES = ("onnx", "onnxruntime", "openvino", "nncf", "ncnn", "pnnx")
_TRAIN: tuple[str, ...] = ("torch", "torchvision", "mmengine", "mmdet", "mmcv", "pycocotools")
_TRAIN += ("cv2", "matplotlib", "jinja2", "tqdm")
_SERVE = ("fastapi", "uvicorn", "pydantic", "python_multipart", "prometheus_client")
_EXTRAS = {
    **dict.fromkeys(_ENGINES, "engines"),
    **dict.fromkeys(_TRAIN, "train"),
    **dict.fromkeys(_SERVE, "serve"),
}
_EXTRAS |= dict.fromkeys(("ray", "pyarrow"), "bulk")

COMMANDS: dict[str, tuple[Callable[[argparse.ArgumentParser], Run], str]] = {
    "demo": (demos.demo, "toy demo in minutes; or detections of a model.lbw, drawn"),
    "make-toy-data": (demos.make_toy_data, "draw the toy data set"),
    "import-yolox": (importing.import_yolox, "a published YOLOX as a checkpoint for its config"),
    "train": (training.train, "train a detector from a config"),
    "test": (training.test, "evaluate a checkpoint with the config's own metric"),
    "image-demo": (demos.image_demo, "draw detections on images"),
    "compare": (comparison.compare, "compare models: mAP, bytes, latency, pictures"),
    "quantize": (quantization.quantize, "write the config that trains any detector quantized"),
    "inspect": (
        quantization.inspect,
        "show each layer of a config, or what is in a deployed model.lbw",
    ),
    "allocate": (quantization.allocate, "choose each layer's bit width for a size"),
    "export": (deployment.export, "write a trained detector as an artifact for CPU engines"),
    "detect": (bulk.detect, "detect in bulk: folders, tables, tars, videos; many workers"),
    "export-onnx": (deployment.export_onnx, "write an artifact as an ONNX model for other engines"),
    "serve": (serving.serve, "answer HTTP requests: an image in, boxes out"),
    "benchmark": (comparison.benchmark, "time an artifact and its peers, part by part"),
    "experiment": (studies.experiment, "train and measure seeds x variants for docs/results.md"),
    "sweep-mu": (
        studies.sweep_mu,
        "look for the threshold solver's mu: error and mAP against it",
    ),
    "study": (studies.study, "reproduce the theory of straight-through estimators"),
    "zoo": (studies.zoo, "try every config that MMDetection ships, in float and quantized"),
    "trained-zoo": (
        studies.trained_zoo,
        "train some of each family, and measure them in float, quantized and deployed",
    ),
    "results": (studies.results, "write the tables of README.md and docs/results.md from JSON"),
}


def parse(arguments: Sequence[str]) -> tuple[Run, argparse.Namespace]:
    """The command that a command line names, and its options; argparse ends what it refuses."""
    parser = argparse.ArgumentParser(
        prog="lbwdet", description="Low-bit-width detectors for MMDetection."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chosen, run = parser, None
    for name, (build, summary) in COMMANDS.items():
        description = f"{summary[0].upper()}{summary[1:]}."
        command = commands.add_parser(name, help=summary, description=description)
        if name in arguments[:1]:
            chosen, run = command, build(command)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        chosen.error(f"unrecognized arguments: {' '.join(unknown)}")
    assert run is not None  # argparse has refused every other command
    return run, options


def _handle_error(handler: logging.Handler, record: logging.LogRecord) -> None:
    """Logging's own would print a trace for each line that cannot be written, and go on."""
    if isinstance(sys.exc_info()[1], OSError):
        raise
    logging.Handler.handleError(handler, record)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code of :func:`lbwdet.terminal.run_command`."""
    # MMEngine 0.10.7 imports it; nothing that a user could do about the warning.
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
    logging.StreamHandler.handleError = _handle_error  # type: ignore[assignment, method-assign]

    def command() -> None:
        try:
            run, options = parse(list(sys.argv[1:] if arguments is None else arguments))
            run(options)
        except ModuleNotFoundError as error:
            module = (error.name or "").split(".")[0]
            if (extra := _EXTRAS.get(module)) is None:
                raise
            raise LBWError(
                f"this command needs {module}, which is not installed: "
                f"pip install 'lbwdet[{extra}]'"
            ) from error

    return run_command(command)


if __name__ == "__main__":
    sys.exit(main())
