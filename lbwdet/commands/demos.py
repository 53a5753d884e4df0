"""Things to look at within minutes: toy data, the toy demo, drawn detections."""

import argparse
import functools
import sys
from collections.abc import Mapping
from typing import Any

from lbwdet.commands.options import Run, add_shared, positive
from lbwdet.errors import ConfigError
from lbwdet.terminal import printable


def make_toy_data(parser: argparse.ArgumentParser) -> Run:
    add = parser.add_argument
    add(
        "--root",
        "--data-root",
        default="data/toy",
        help="folder to make; reused if complete [%(default)s]",
    )
    add_shared(parser, "--seed")
    for split, count in (("trainval", 500), ("test", 150)):
        add(
            f"--num-{split}",
            type=positive,
            default=count,
            metavar="N",
            help=f"{split} images [%(default)s]",
        )
    add(
        "--size",
        type=positive,
        nargs=2,
        default=(192, 160),
        metavar=("WIDTH", "HEIGHT"),
        help="of every image [192 160]",
    )

    def run(args: argparse.Namespace) -> None:
        from tqdm import tqdm

        from lbwdet.datasets.toy import make_toy_dataset, summary

        manifest = make_toy_dataset(
            args.root,
            seed=args.seed,
            num_trainval=args.num_trainval,
            num_test=args.num_test,
            size=tuple(args.size),
            progress=functools.partial(tqdm, desc="drawing", unit="image"),
        )
        print(summary(manifest))
        print(f"{args.root}: sha256 {manifest['digest'][:16]}")

    return run


def demo(parser: argparse.ArgumentParser) -> Run:
    add = parser.add_argument
    add("source", nargs="?", help="image, folder, video or camera index [none: the toy demo]")
    add("artifact", nargs="?", metavar="MODEL.lbw", help="what detects in SOURCE")
    add("--engine", choices=("native", "reference"), default="native", help="[%(default)s]")
    add_shared(
        parser, "--out-dir", default="work_dirs/drawn", help="for drawings of SOURCE [%(default)s]"
    )
    add_shared(parser, "--score-thr")
    add("--max-frames", type=positive, metavar="N", help="of a video [all] or camera [300]")
    add_shared(parser, "--work-dir", default="work_dirs/demo", help="of the toy demo [%(default)s]")
    add_shared(parser, "--data-root", default="data/toy", help="of the toy demo [%(default)s]")
    add_shared(parser, "--threads")

    def run(args: argparse.Namespace) -> None:
        if args.source is None:
            from lbwdet.demos.toy_demo import demo

            demo(work_dir=args.work_dir, data_root=args.data_root, threads=args.threads)
            return
        if args.artifact is None:
            raise ConfigError("what shall detect in it? lbwdet demo SOURCE MODEL.lbw")
        from lbwdet.demos.image_demo import artifact_demo

        result = artifact_demo(
            args.source,
            args.artifact,
            args.out_dir,
            score_thr=args.score_thr,
            max_frames=args.max_frames,
            engine=args.engine,
            threads=args.threads,
        )
        _print_drawn(result, args.out_dir)

    return run


def image_demo(parser: argparse.ArgumentParser) -> Run:
    parser.add_argument("images", help="an image, or a folder of images")
    add_shared(parser, "config", "checkpoint")
    add_shared(parser, "--out-dir", default="work_dirs/drawn", help="for drawings [%(default)s]")
    add_shared(parser, "--score-thr", "--device", "--cfg-options")

    def run(args: argparse.Namespace) -> None:
        from lbwdet.demos.image_demo import image_demo

        result = image_demo(
            args.images,
            args.config,
            args.checkpoint,
            out_dir=args.out_dir,
            score_thr=args.score_thr,
            device=args.device,
            cfg_options=args.cfg_options,
        )
        _print_drawn(result, args.out_dir)

    return run


def _print_drawn(result: Mapping[str, Any], out_dir: str) -> None:
    from lbwdet.demos.drawing import summary

    for reason in result.get("failed", {}).values():
        print(f"left out: {printable(reason)}", file=sys.stderr)
    print(f"{summary(result)}; see {out_dir}")
