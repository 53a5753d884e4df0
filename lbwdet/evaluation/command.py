"""The command line of ``lbwdet compare``."""

import argparse
from typing import Any

from mmengine.config import DictAction

from lbwdet.evaluation.specs import ARTIFACT_FORM, FORM, parse_model


def run(options: argparse.Namespace) -> int:
    """Compares and prints the table.

    Raises:
        LBWError: With a message for the user.
    """
    models = [parse_model(text) for text in options.models]
    # Imported late: --help and a mistyped model need not wait for MMDetection.
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
        test_config=options.test_set,
    )
    print(markdown(comparison))
    print(f"Report: {options.out}/report/index.html")
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("models", nargs="+", metavar="MODEL", help=f"{FORM}; or {ARTIFACT_FORM}")
    add("--out", required=True, metavar="DIR", help="gets compare.json, compare.md, plots, report")
    add("--num-images", type=_positive, metavar="N", help="only the first N test images")
    add("--threads", type=_positive, metavar="N", help="CPU threads (default: all available)")
    add("--latency-rounds", type=_positive, default=5, metavar="R", help="default: %(default)s")
    add("--no-latency", action="store_true", help="do not measure latency")
    add("--num-report-images", type=_positive, default=24, metavar="N", help="default: %(default)s")
    add("--test-set", metavar="CONFIG", help="whose test images; needed where all are artifacts")
    add("--data-root", metavar="ROOT", help="overrides the data root of every config")
    add("--device", default="cpu", help="where the models run (default: %(default)s)")
    add(
        "--cfg-options",
        nargs="+",
        action=_Overrides,
        metavar="KEY=VALUE",
        help="overrides in every config",
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not 1 or more")
    return value


class _Overrides(DictAction):  # type: ignore[misc]
    def __call__(self, parser: argparse.ArgumentParser, *arguments: Any) -> None:
        try:
            super().__call__(parser, *arguments)
        except (ValueError, AssertionError):
            parser.error("--cfg-options: write KEY=VALUE, such as model.test_cfg.rpn.nms_pre=500")
