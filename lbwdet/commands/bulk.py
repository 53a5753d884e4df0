"""A deployed detector over more images than one looks at."""

import argparse
import sys

from lbwdet.commands.options import Run, add_shared, natural, positive, settings_of

_SHARD_SIZE = 128


def detect(parser: argparse.ArgumentParser) -> Run:
    add = parser.add_argument
    add(
        "source",
        help="a folder of images, a list of paths (.txt), Parquet or tar files or a folder of "
        "such, a pattern like 'train-*.tar', or a video",
    )
    add("artifact", metavar="MODEL.lbw", help="what detects in SOURCE")
    add(
        "--out",
        required=True,
        metavar="OUT",
        help="FOLDER.parquet, FILE.json, or with --format voc a folder; the same command goes on "
        "with a run that was stopped",
    )
    add("--workers", type=natural, metavar="N", help="[all CPUs]; 0: this process, without Ray")
    add_shared(parser, "--threads", default=1, help="of each worker's engine [%(default)s]")
    add("--cluster", metavar="HOST:PORT", help="a Ray cluster that this machine is part of")
    add("--format", choices=("parquet", "coco", "voc"), help="[by the ending of OUT]")
    add("--column", metavar="NAME", help="of Parquet, with bytes or paths [image]")
    add(
        "--shard-size",
        type=positive,
        default=_SHARD_SIZE,
        metavar="N",
        help="images in each file of rows [%(default)s]",
    )
    add("--engine", choices=("native", "reference"), default="native", help="[%(default)s]")
    add_shared(parser, "--score-thr")

    def run(args: argparse.Namespace) -> None:
        from lbwdet.bulk.detect import BulkSettings, detect_in_bulk

        settings = settings_of(BulkSettings, args)
        result = detect_in_bulk(args.source, args.artifact, args.out, settings)
        if result.failed:
            print(
                f"{result.failed} images could not be used; their rows in {result.shards} say why",
                file=sys.stderr,
            )
        earlier = f", {result.before} of them by earlier runs" if result.before else ""
        print(f"{result.images} images{earlier}; see {result.out}")

    return run
