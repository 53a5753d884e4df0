"""MMDetection's two tools, for low-bit detectors and all others: train and test."""

import argparse

from lbwdet.commands.options import Run, add_launcher, add_shared, set_local_rank


def train(parser: argparse.ArgumentParser) -> Run:
    add = parser.add_argument
    add_shared(parser, "config")
    add_shared(parser, "--work-dir", help="for logs and checkpoints [work_dirs/<config name>]")
    add(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CHECKPOINT",
        help="go on from this checkpoint, or from the latest in the work dir",
    )
    add("--amp", action="store_true", help="mixed precision")
    add("--auto-scale-lr", action="store_true", help="scale the learning rate with the batch size")
    add("--partial", action="store_true", help="load what fits of the config's load_from")
    add_shared(parser, "--data-root", "--cfg-options")
    add_launcher(parser)

    def run(args: argparse.Namespace) -> None:
        set_local_rank(args)
        from lbwdet.training.orphans import end_with_parent
        from lbwdet.training.run import train

        end_with_parent()
        train(
            args.config,
            work_dir=args.work_dir,
            resume=args.resume,
            amp=args.amp,
            auto_scale_lr=args.auto_scale_lr,
            cfg_options=args.cfg_options,
            data_root=args.data_root,
            launcher=args.launcher,
            partial=args.partial,
        )

    return run


def test(parser: argparse.ArgumentParser) -> Run:
    add_shared(parser, "config", "checkpoint")
    add_shared(parser, "--work-dir", help="for the log [work_dirs/<config name>]")
    parser.add_argument("--out", metavar="FILE.pkl", help="write the predictions")
    parser.add_argument(
        "--show-dir", metavar="DIR", help="write painted images below the log's folder"
    )
    add_shared(parser, "--data-root", "--cfg-options")
    add_launcher(parser)

    def run(args: argparse.Namespace) -> None:
        set_local_rank(args)
        from lbwdet.measuring.own_metric import test

        test(
            args.config,
            args.checkpoint,
            work_dir=args.work_dir,
            out=args.out,
            show_dir=args.show_dir,
            cfg_options=args.cfg_options,
            data_root=args.data_root,
            launcher=args.launcher,
        )

    return run
