"""The command line of ``tools/compare.py`` and ``lbwdet compare``."""

import argparse
import sys
from collections.abc import Sequence

from mmengine.config import DictAction

from lbwdet.errors import LBWError
from lbwdet.evaluation.specs import FORM, ModelSpec


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Parses, compares, prints the table. Returns the exit code: 0, or 2 for a user's error."""
    parser = build_parser(prog)
    try:
        options = parser.parse_args(arguments)
    except ValueError:  # DictAction, on a word without '='
        parser.error("--cfg-options: write KEY=VALUE, for example model.test_cfg.rpn.nms_pre=500")
    try:
        models = [ModelSpec.parse(text) for text in options.models]
        # Imported late: --help and a mistyped model need not wait for torch and MMDetection.
        from lbwdet.evaluation.comparison import compare
        from lbwdet.evaluation.results import markdown

        comparison = compare(
            models,
            options.out,
            num_images=options.num_images,
            threads=options.threads,
            latency_rounds=0 if options.no_latency else options.latency_rounds,
            data_root=options.data_root,
            cfg_options=options.cfg_options,
            device=options.device,
            num_report_images=options.num_report_images,
        )
    except LBWError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(markdown(comparison))
    print(f"Report: {options.out}/report/index.html")
    return 0


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Compares detectors on one test set: mAP, weight bytes, latency, detections.",
    )
    add = parser.add_argument
    add("models", nargs="+", metavar="NAME=CONFIG:CHECKPOINT", help=f"a model: {FORM}")
    add("--out", required=True, metavar="DIR", help="gets compare.json, compare.md, plots, report")
    add("--num-images", type=_positive, metavar="N", help="only the first N test images")
    add("--threads", type=_positive, metavar="N", help="CPU threads (default: all available)")
    add("--latency-rounds", type=_positive, default=5, metavar="R", help="default: %(default)s")
    add("--no-latency", action="store_true", help="do not measure latency")
    add("--num-report-images", type=_positive, default=24, metavar="N", help="default: %(default)s")
    add("--data-root", metavar="ROOT", help="overrides the data root of every config")
    add("--device", default="cpu", help="where the models run (default: %(default)s)")
    add(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="overrides in every config",
    )
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not 1 or more")
    return value
