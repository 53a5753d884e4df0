"""Published weights for a config to start from."""

import argparse

from lbwdet.commands.options import Run, add_shared, positive


def import_yolox(parser: argparse.ArgumentParser) -> Run:
    add = parser.add_argument
    add("source", metavar="FILE", help=".pth as released, or .onnx with folded batch norm")
    add("--out", required=True, metavar="CHECKPOINT", help="the checkpoint to write")
    add(
        "--config",
        help="of a float YOLOX; the classes of its data set are picked by name "
        "[MMDetection's of the file's size, COCO's classes]",
    )
    add(
        "--images",
        metavar="FOLDER_OR_SPLIT",
        help="for .onnx: where batch norm is measured, a folder, or train, val or test",
    )
    add("--num", type=positive, default=300, metavar="N", help="of these images [%(default)s]")
    add_shared(parser, "--data-root")

    def run(args: argparse.Namespace) -> None:
        from lbwdet.importing.yolox import import_yolox

        imported = import_yolox(
            args.source,
            args.out,
            config=args.config,
            images=args.images,
            num=args.num,
            data_root=args.data_root,
        )
        print(imported.text())

    return run
