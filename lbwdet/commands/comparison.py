"""Models and engines side by side: compare and benchmark."""

import argparse

from lbwdet.commands.options import Run, add_shared, positive, settings_of


def compare(parser: argparse.ArgumentParser) -> Run:
    add = parser.add_argument
    add(
        "models",
        nargs="+",
        metavar="MODEL",
        help="NAME=CONFIG:CHECKPOINT, for example 6bit=configs/lbw_frcnn_voc_6bit.py:6bit.pth; "
        "or NAME=MODEL.lbw[@ENGINE], for example 6bit=6bit.lbw or 6bit=6bit.lbw@reference",
    )
    add(
        "--out-dir",
        "--out",
        required=True,
        metavar="DIR",
        help="gets compare.json, compare.md, plots, report",
    )
    add("--latency-rounds", type=positive, default=5, metavar="R", help="[%(default)s]")
    add("--no-latency", action="store_true", help="do not measure latency")
    add("--num-report-images", type=positive, default=24, metavar="N", help="[%(default)s]")
    add("--test-set", metavar="CONFIG", help="whose test images; needed where all are artifacts")
    add_shared(parser, "--num-images", "--threads", "--device", "--data-root", "--cfg-options")

    def run(args: argparse.Namespace) -> None:
        from lbwdet.comparison.specs import parse_model

        models = [parse_model(text) for text in args.models]
        # Only now: a mistyped model need not wait for MMDetection.
        from lbwdet.comparison.compare import CompareSettings, compare
        from lbwdet.comparison.results import markdown

        rounds = 0 if args.no_latency else args.latency_rounds
        settings = settings_of(
            CompareSettings, args, latency_rounds=rounds, test_config=args.test_set
        )
        print(markdown(compare(models, args.out_dir, settings)))
        print(f"Report: {args.out_dir}/report/index.html")

    return run


def benchmark(parser: argparse.ArgumentParser) -> Run:
    add = parser.add_argument
    add("artifact", metavar="MODEL.lbw", help="written by lbwdet export")
    add(
        "also",
        nargs="*",
        default=(),
        metavar="OTHER.lbw",
        help="of the same float detector, as further rows of the native engine",
    )
    add(
        "--against",
        nargs="+",
        choices=(
            *("torch", "torch-channels-last", "torch-compile", "onnxruntime", "openvino"),
            *("onnxruntime-whole", "openvino-whole", "ncnn", "native", "reference"),
        ),
        default=["torch", "native"],
        metavar="ENGINE",
        help="torch, torch-channels-last, torch-compile; onnxruntime, openvino, ncnn (convolutions "
        "only) or onnxruntime-whole, openvino-whole (the whole detector); native, reference "
        "[torch native]",
    )
    add("--float", metavar="CONFIG[:CHECKPOINT]", help="float detector that the peers run")
    add("--input", metavar="HxW", help="network input, for example 608x1024 [as the images give]")
    add(
        "--rounds",
        type=positive,
        default=7,
        metavar="R",
        help="rounds over the images [%(default)s]",
    )
    add("--images", help="test, noise, or a file or folder [test with --float, else noise]")
    add(
        "--calibrate",
        metavar="FOLDER_OR_SPLIT",
        help="images for the int8 of onnxruntime and openvino: a folder, or train, val or test of "
        "the config [train if --images is test, else those that are timed]",
    )
    add(
        "--num-calibrate",
        type=positive,
        default=32,
        metavar="N",
        help="number of these images [%(default)s]",
    )
    add("--accuracy", action="store_true", help="mAP of every engine on the config's test set")
    add("--isa", help="instruction set of the native engine [the best]")
    add("--profile", action="store_true", help="time per operation of the native engine")
    add(
        "--throughput",
        action="store_true",
        help="also images per second with an image on each core (native and -whole engines)",
    )
    add("--quiet-check", action="store_true", help="say whether others used the machine, too")
    add(
        "--out-dir",
        "--out",
        default="work_dirs/benchmark",
        metavar="DIR",
        help="gets benchmark.json, benchmark.md, plots, logs [%(default)s]",
    )
    add_shared(parser, "--num-images", help="only the first N test images for the mAP [all]")
    add_shared(parser, "--threads", "--data-root", "--cfg-options")

    def run(args: argparse.Namespace) -> None:
        from lbwdet.benchmark.benchmark import benchmark
        from lbwdet.benchmark.report import markdown
        from lbwdet.benchmark.settings import BenchmarkSettings
        from lbwdet.comparison.specs import parse_float, parse_size

        config, checkpoint = parse_float(args.float) if args.float else (None, None)
        settings = settings_of(
            BenchmarkSettings,
            args,
            config=config,
            checkpoint=checkpoint,
            input_size=parse_size(args.input) if args.input else None,
            num_accuracy_images=args.num_images,
        )
        print(markdown(benchmark(args.artifact, settings, args.out_dir)))
        print(f"Written to {args.out_dir}")

    return run
