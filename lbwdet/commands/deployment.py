"""From a trained detector to files that run without a training framework."""

import argparse
import os

from lbwdet.commands.options import Run, add_shared, positive, settings_of


def export(parser: argparse.ArgumentParser) -> Run:
    add = parser.add_argument
    add_shared(parser, "config", "checkpoint")
    add("--out", required=True, metavar="MODEL.lbw", help="the artifact to write")
    add(
        "--calibrate",
        metavar="FOLDER_OR_SPLIT",
        help="images for the ranges of activations: a folder, or train, val or test of the config "
        "[those of quantize --post-training]",
    )
    add(
        "--num-images",
        "--num",
        type=positive,
        metavar="N",
        help="number of these images [64, or as many as quantize --post-training took]",
    )
    add("--method", choices=("mse", "percentile", "minmax"), default="mse", help="[%(default)s]")
    add("--entropy-coding", action="store_true", help="smaller file, slower to load")
    add("--boxes-only", action="store_true", help="leave out the masks of a detector that has some")
    add_shared(parser, "--data-root", "--cfg-options")

    def run(args: argparse.Namespace) -> None:
        from lbwdet.export import ExportSettings, export

        settings = settings_of(ExportSettings, args, num=args.num_images)
        exported = export(args.config, args.checkpoint, args.out, settings)
        print(f"{args.out}: {exported.summary()}")

    return run


def export_onnx(parser: argparse.ArgumentParser) -> Run:
    add = parser.add_argument
    add("artifact", metavar="MODEL.lbw", help="written by lbwdet export")
    add("--out", required=True, metavar="MODEL.onnx", help="the model to write")
    add(
        "--part",
        choices=("detector", "network", "dense"),
        default="detector",
        help="image to boxes, normalized image to boxes, or to feature maps and proposal scores "
        "[detector]",
    )
    add("--float-activations", action="store_true", help="int8 weights, but float32 activations")

    def run(args: argparse.Namespace) -> None:
        from lbwdet.deploy.onnx.export import export_onnx
        from lbwdet.deploy.runtime.artifact import read_artifact
        from lbwdet.files import check_new_file

        check_new_file(args.out, args.artifact)
        artifact = read_artifact(args.artifact)
        model = export_onnx(artifact, args.out, args.part, args.float_activations)
        size = os.path.getsize(args.out)
        print(f"{args.out}: {args.part}, {len(model.graph.node)} nodes, {size / 1e6:.2f} MB")

    return run
