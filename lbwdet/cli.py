"""``lbwdet COMMAND ...``: one door to everything.

Heavy imports happen inside the commands, so that ``--help`` and a mistyped
argument answer at once.
"""

import argparse
import functools
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from lbwdet import __version__
from lbwdet.errors import ConfigError, LBWError

Run = Callable[[argparse.Namespace], int]
_QUOTED_TEXT = re.compile(r"""(?P<key>[^=]+)=(?P<quote>['"])(?P<text>[^\[(].*)(?P=quote)""")

# Of the modules that the commands import, the extra of pyproject.toml that brings them.
_ENGINES = ("onnx", "onnxruntime", "openvino", "nncf")
_TRAIN = ("torch", "torchvision", "mmengine", "mmdet", "mmcv", "pycocotools")
_TRAIN += ("cv2", "matplotlib", "jinja2", "tqdm")
_EXTRAS = {**dict.fromkeys(_ENGINES, "engines"), **dict.fromkeys(_TRAIN, "train")}


class _KeyValue(argparse.Action):
    """``--cfg-options key=value ...`` in MMEngine's syntax, read by MMEngine.

    Except for a text in quotes of its own, ``load_from="'runs, old/a.pth'"``: MMEngine
    would drop its blanks and split it at its commas.
    """

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        from mmengine.config import DictAction

        quoted = [found for pair in values if (found := _QUOTED_TEXT.fullmatch(pair))]
        others = [pair for pair in values if not _QUOTED_TEXT.fullmatch(pair)]
        try:
            DictAction(self.option_strings, self.dest)(parser, namespace, others, option)
        except (ValueError, AssertionError):
            parser.error(f"{option}: {' '.join(values)!r} is not of the form key=value")
        getattr(namespace, self.dest).update({found["key"]: found["text"] for found in quoted})


def _add_config_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=_KeyValue,
        metavar="KEY=VALUE",
        help="override settings of the config: a.b=1 c.d='[1,2]'",
    )
    parser.add_argument("--data-root", metavar="ROOT", help="root of the VOC-format data")
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm", "mpi"), default="none")
    # torch.distributed.launch passes it; torchrun sets the environment instead
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)


def _train(parser: argparse.ArgumentParser) -> Run:
    parser.add_argument("config", help="an MMDetection config")
    parser.add_argument("--work-dir", help="for logs and checkpoints [work_dirs/<config name>]")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CHECKPOINT",
        help="go on from this checkpoint, or from the latest in the work dir",
    )
    parser.add_argument("--amp", action="store_true", help="mixed precision")
    parser.add_argument(
        "--auto-scale-lr", action="store_true", help="scale the learning rate with the batch size"
    )
    parser.add_argument(
        "--partial", action="store_true", help="load what fits of the config's load_from"
    )
    _add_config_options(parser)

    def run(args: argparse.Namespace) -> int:
        _set_local_rank(args)
        import lbwdet.compat  # noqa: F401  (before anything of mmdet)
        from lbwdet.training.run import train

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
        return 0

    return run


def _test(parser: argparse.ArgumentParser) -> Run:
    parser.add_argument("config", help="an MMDetection config")
    parser.add_argument("checkpoint", help="weights that fit it")
    parser.add_argument("--work-dir", help="for the log [work_dirs/<config name>]")
    parser.add_argument("--out", metavar="FILE.pkl", help="write the predictions")
    parser.add_argument("--show-dir", help="write painted images below the log's folder")
    _add_config_options(parser)

    def run(args: argparse.Namespace) -> int:
        _set_local_rank(args)
        from lbwdet.evaluation.run import test

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
        return 0

    return run


def _image_demo(parser: argparse.ArgumentParser) -> Run:
    parser.add_argument("images", help="an image, or a folder of images")
    parser.add_argument("config")
    parser.add_argument("checkpoint")
    parser.add_argument("--out-dir", default="outputs", help="[%(default)s]")
    parser.add_argument("--score-thr", type=float, default=0.3, help="[%(default)s]")
    parser.add_argument("--device", default="cpu", help="[%(default)s]")
    parser.add_argument("--cfg-options", nargs="+", action=_KeyValue, metavar="KEY=VALUE")

    def run(args: argparse.Namespace) -> int:
        from lbwdet.evaluation.image_demo import image_demo

        result = image_demo(
            args.images,
            args.config,
            args.checkpoint,
            out_dir=args.out_dir,
            score_thr=args.score_thr,
            device=args.device,
            cfg_options=args.cfg_options,
        )
        for name, reason in result["failed"].items():
            print(f"left out: {name}: {reason}", file=sys.stderr)
        boxes = sum(len(entries) for entries in result["images"].values())
        print(
            f"{boxes} objects in {len(result['images'])} images, "
            f"{len(result['failed'])} left out, {result['median_ms']:.0f} ms per image (median); "
            f"see {args.out_dir}"
        )
        return 0

    return run


def _compare(parser: argparse.ArgumentParser) -> Run:
    from lbwdet.evaluation.command import add_arguments, run

    add_arguments(parser)
    return run


def _export(parser: argparse.ArgumentParser) -> Run:
    add = parser.add_argument
    add("config", help="config of the trained detector")
    add("checkpoint")
    add("--out", required=True, metavar="MODEL.lbw", help="the artifact to write")
    add(
        "--calibrate",
        required=True,
        metavar="FOLDER_OR_SPLIT",
        help="images for the ranges of activations: a folder, or train, val or test of the config",
    )
    add("--num", type=int, default=64, help="number of these images [%(default)s]")
    add("--method", choices=("mse", "percentile", "minmax"), default="mse", help="[%(default)s]")
    add("--entropy-coding", action="store_true", help="smaller file, slower to load")
    add("--data-root", metavar="ROOT", help="root of the VOC-format data")
    add("--cfg-options", nargs="+", action=_KeyValue, metavar="KEY=VALUE")

    def run(args: argparse.Namespace) -> int:
        from lbwdet.evaluation.export import export

        exported = export(
            args.config,
            args.checkpoint,
            args.out,
            args.calibrate,
            num=args.num,
            method=args.method,
            entropy_coding=args.entropy_coding,
            data_root=args.data_root,
            cfg_options=args.cfg_options,
        )
        print(f"{args.out}: {exported.summary()}")
        return 0

    return run


def _make_toy_data(parser: argparse.ArgumentParser) -> Run:
    add = parser.add_argument
    add("--root", default="data/toy", help="folder to make; reused if complete [%(default)s]")
    add("--seed", type=int, default=0, help="[%(default)s]")
    add("--num-trainval", type=int, default=500, help="training images [%(default)s]")
    add("--num-test", type=int, default=150, help="test images [%(default)s]")
    add("--size", type=int, nargs=2, default=(192, 160), metavar=("WIDTH", "HEIGHT"))

    def run(args: argparse.Namespace) -> int:
        from tqdm import tqdm

        from lbwdet.datasets.toy import make_toy_dataset

        manifest = make_toy_dataset(
            args.root,
            seed=args.seed,
            num_trainval=args.num_trainval,
            num_test=args.num_test,
            size=tuple(args.size),
            progress=functools.partial(tqdm, desc="drawing", unit="image"),
        )
        for split, counts in manifest["boxes"].items():
            images = manifest["parameters"][f"num_{split}"]
            per_class = ", ".join(f"{name} {count}" for name, count in counts.items())
            print(f"{split}: {images} images, {sum(counts.values())} boxes ({per_class})")
        print(f"{args.root}: sha256 {manifest['digest'][:16]}")
        return 0

    return run


def _demo(parser: argparse.ArgumentParser) -> Run:
    add = parser.add_argument
    add("source", nargs="?", help="image, folder, video or camera index [none: the toy demo]")
    add("artifact", nargs="?", help="model.lbw that detects in SOURCE")
    add("--engine", default="native", help="native or reference [%(default)s]")
    add("--out-dir", default="work_dirs/drawn", help="for drawings of SOURCE [%(default)s]")
    add("--score-thr", type=float, default=0.3, help="boxes from this score on [%(default)s]")
    add("--max-frames", type=int, help="of a video [all] or camera [300]")
    add("--work-dir", default="work_dirs/demo", help="of the toy demo [%(default)s]")
    add("--data-root", default="data/toy", help="of the toy demo [%(default)s]")
    add("--threads", type=int, help="CPU threads [all]")

    def run(args: argparse.Namespace) -> int:
        if args.source is None:
            from lbwdet.evaluation.demo import demo

            demo(work_dir=args.work_dir, data_root=args.data_root, threads=args.threads)
            return 0
        if args.artifact is None:
            raise ConfigError("what shall detect in it? lbwdet demo SOURCE model.lbw")
        from lbwdet.evaluation.artifact_candidate import ArtifactCandidate
        from lbwdet.evaluation.image_demo import draw_images
        from lbwdet.evaluation.video_demo import draw_video, is_video

        detector = ArtifactCandidate("demo", args.artifact, args.engine, args.threads)
        if is_video(args.source):
            result = draw_video(
                detector, args.source, args.out_dir, args.score_thr, args.max_frames
            )
            count = len(result["frames"])
            boxes = sum(len(frame) for frame in result["frames"])
            kind = "frames"
        else:
            result = draw_images(detector, args.source, args.out_dir, args.score_thr)
            count, kind = len(result["images"]), "images"
            boxes = sum(len(found) for found in result["images"].values())
            for reason in result["failed"].values():
                print(f"left out: {reason}", file=sys.stderr)
        milliseconds = result["median_ms"]
        print(
            f"{boxes} objects in {count} {kind}, {milliseconds:.1f} ms each (median), "
            f"{1000 / milliseconds:.1f} per second, engine {result['engine']}; see {args.out_dir}"
        )
        return 0

    return run


def _experiment(parser: argparse.ArgumentParser) -> Run:
    parser.add_argument("name", help="bccd or voc-sample")
    parser.add_argument("--out", help="results [docs/results/<name>.json]")
    parser.add_argument("--work-dir", help="checkpoints [work_dirs/experiment/<name>]")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", help="only these, for example 6bit 4bit")
    parser.add_argument("--width", type=int, default=64, help="R18's first channels [%(default)s]")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time [%(default)s]")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each [%(default)s]")

    def run(args: argparse.Namespace) -> int:
        from lbwdet.evaluation.experiment import run_experiment

        run_experiment(
            args.name,
            args.out or f"docs/results/{args.name}.json",
            args.work_dir or f"work_dirs/experiment/{args.name}",
            seeds=args.seeds,
            variants=args.variants,
            width=args.width,
            jobs=args.jobs,
            threads=args.threads,
        )
        return 0

    return run


def _benchmark(parser: argparse.ArgumentParser) -> Run:
    add = parser.add_argument
    add("artifact", help="model.lbw, written by lbwdet export")
    add(
        "--against",
        nargs="+",
        default=["torch", "native"],
        metavar="ENGINE",
        help="torch, onnxruntime, openvino, native, reference [torch native]",
    )
    add("--float", metavar="CONFIG[:CHECKPOINT]", help="float detector that the peers run")
    add("--input", metavar="HxW", help="network input, for example 608x1024 [as the images give]")
    add("--threads", type=int, help="CPU threads [all]")
    add("--rounds", type=int, default=7, help="rounds over the images [%(default)s]")
    add("--images", help="test, noise, or a file or folder [test with --float, else noise]")
    add("--accuracy", action="store_true", help="mAP of every engine on the config's test set")
    add("--num-images", type=int, help="only the first test images for the mAP")
    add("--isa", help="instruction set of the native engine [the best]")
    add("--profile", action="store_true", help="time per operation of the native engine")
    add("--data-root", help="overrides the data root of the config")
    add("--cfg-options", nargs="+", action=_KeyValue, metavar="KEY=VALUE", help="of the config")
    add("--out", default="work_dirs/benchmark", help="folder for the results [%(default)s]")

    def run(args: argparse.Namespace) -> int:
        from lbwdet.evaluation.benchmark.report import markdown
        from lbwdet.evaluation.benchmark.run import benchmark
        from lbwdet.evaluation.specs import parse_float, parse_size

        config, checkpoint = parse_float(args.float) if args.float else (None, None)
        result = benchmark(
            args.artifact,
            args.against,
            args.out,
            config=config,
            checkpoint=checkpoint,
            input_size=parse_size(args.input) if args.input else None,
            threads=args.threads,
            rounds=args.rounds,
            images=args.images or ("test" if config else "noise"),
            accuracy=args.accuracy,
            num_accuracy_images=args.num_images,
            isa=args.isa,
            profile=args.profile,
            data_root=args.data_root,
            cfg_options=args.cfg_options,
        )
        print(markdown(result))
        print(f"Written to {args.out}")
        return 0

    return run


def _results(parser: argparse.ArgumentParser) -> Run:
    parser.add_argument("pages", nargs="*", default=["README.md", "docs/results.md"])
    parser.add_argument("--results", default="docs/results", help="JSON files [%(default)s]")

    def run(args: argparse.Namespace) -> int:
        from lbwdet.evaluation.results_page import update_pages

        update_pages(args.pages, args.results)
        return 0

    return run


def _add_weight_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--code", choices=("paper", "dense"), default="dense", help="[%(default)s]")
    add("--granularity", choices=("tensor", "channel"), default="tensor", help="[%(default)s]")


def _quantize(parser: argparse.ArgumentParser) -> Run:
    add = parser.add_argument
    add("config", help="any float config: a file, or mmdet::family/config.py")
    add("--bit-width", type=int, required=True, help="1 to 8")
    _add_weight_options(parser)
    add("--keep-float", nargs="+", default=[], metavar="GLOB", help="layers that stay float")
    add("--checkpoint", help="float weights to start from; their mAP is measured, if there is data")
    add("--num-images", type=int, metavar="N", help="only the first test images for mAP")
    add("--no-map", action="store_true", help="do not measure mAP")
    add("--out", required=True, metavar="NEW.py", help="the config to write")

    def run(args: argparse.Namespace) -> int:
        from lbwdet.errors import DataError
        from lbwdet.evaluation.quantized_config import (
            float_and_quantized_map,
            write_quantized_config,
        )

        weight = dict(bit_width=args.bit_width, code=args.code, granularity=args.granularity)
        written = write_quantized_config(
            args.config, args.out, weight, args.keep_float, checkpoint=args.checkpoint
        )
        left = sum(written["float_weights"].values())
        print(
            f"{args.out}: {len(written['layers'])} layers at {args.bit_width} bits, "
            f"{left:,} values of other weights float; {written['float_bytes'] / 1e6:.2f} MB in "
            f"float, {written['weight_bytes'] / 1e6:.2f} MB quantized"
        )
        if args.checkpoint and not args.no_map:
            try:
                plain, low = float_and_quantized_map(
                    args.config, args.out, args.checkpoint, args.num_images
                )
                print(f"mAP without training: {plain:.3f} float, {low:.3f} quantized")
            except DataError as error:
                print(f"mAP was not measured: {error}")
        print(f"Train it: lbwdet train {args.out}")
        return 0

    return run


def _study(parser: argparse.ArgumentParser) -> Run:
    parser.add_argument("name", choices=("ste",), help="ste: straight-through estimators")
    parser.add_argument("--out-dir", default="docs/studies", help="[%(default)s]")
    parser.add_argument(
        "--samples", type=int, default=200_000, help="of each Monte Carlo estimate [%(default)s]"
    )
    parser.add_argument("--seed", type=int, default=0, help="[%(default)s]")

    def run(args: argparse.Namespace) -> int:
        from lbwdet.studies.ste import markdown, run_study

        print(markdown(run_study(args.out_dir, samples=args.samples, seed=args.seed)))
        print(f"\nFigures and {args.name}.json: {args.out_dir}")
        return 0

    return run


def _inspect(parser: argparse.ArgumentParser) -> Run:
    add = parser.add_argument
    add("config", help="a config, or a deployed model.lbw")
    add("checkpoint", nargs="?", help="weights that fit the config")
    add("--bit-width", type=int, help="quantize at this, all as --code and --granularity say")
    _add_weight_options(parser)
    add("--sensitivity", choices=("loss", "map", "none"), default="none", help="[%(default)s]")
    add("--bit-widths", type=int, nargs="+", default=[], metavar="B", help="sensitivity at these")
    add("--num-images", type=int, default=8, metavar="N", help="for the sensitivity [%(default)s]")
    add("--sort", default="order", help="order, name, zeros, error, bytes or sensitivity")
    add("--out-dir", metavar="DIR", help="gets inspect.json, inspect.md, inspect.png")
    add("--json", action="store_true", help="of a model.lbw: everything, for programs")
    add("--cfg-options", nargs="+", action=_KeyValue, metavar="KEY=VALUE")

    def run(args: argparse.Namespace) -> int:
        if args.config.endswith(".lbw"):
            from lbwdet.deploy.inspect import describe

            print(describe(args.config, as_json=args.json))
            return 0
        from lbwdet.evaluation.inspection import inspect_model, markdown, write_inspection

        weight = dict(bit_width=args.bit_width, code=args.code, granularity=args.granularity)
        inspected = inspect_model(
            args.config,
            args.checkpoint,
            weight if args.bit_width else None,
            args.sensitivity,
            args.bit_widths,
            args.num_images,
            args.cfg_options,
        )
        print(markdown(inspected, args.sort))
        if args.out_dir:
            write_inspection(inspected, args.out_dir, args.sort)
            print(f"See {args.out_dir}/inspect.png")
        return 0

    return run


def _allocate(parser: argparse.ArgumentParser) -> Run:
    add = parser.add_argument
    add("config", help="a float config")
    add("checkpoint", help="its float weights")
    add("--budget-mb", type=float, metavar="MB", help="size of all that is stored, 10**6 bytes")
    add("--average-bits", type=float, metavar="B", help="or mean bits of a quantized weight")
    add("--bit-widths", type=int, nargs="+", default=[2, 3, 4, 6], metavar="B", help="[2 3 4 6]")
    _add_weight_options(parser)
    add("--sensitivity", choices=("loss", "map"), default="loss", help="[%(default)s]")
    add("--num-images", type=int, default=8, metavar="N", help="for the sensitivity [%(default)s]")
    add("--inspect", metavar="inspect.json", help="sensitivities that lbwdet inspect measured")
    add("--map-images", type=int, metavar="N", help="measure mAP, too, on N test images; 0: all")
    add("--out", required=True, metavar="NEW.py", help="the config to write")

    def run(args: argparse.Namespace) -> int:
        from lbwdet.evaluation.proposal import markdown, propose

        proposed = propose(
            args.config,
            args.checkpoint,
            args.out,
            budget_mb=args.budget_mb,
            average_bits=args.average_bits,
            bit_widths=args.bit_widths,
            weight=dict(code=args.code, granularity=args.granularity),
            measure=args.sensitivity,
            num_images=args.num_images,
            inspected=args.inspect,
            map_images=args.map_images,
        )
        print(markdown(proposed))
        print(f"Train it: lbwdet train {args.out}")
        return 0

    return run


def _zoo(parser: argparse.ArgumentParser) -> Run:
    add = parser.add_argument
    add("--filter", default="*", metavar="GLOB", help="on family/config.py [%(default)s]")
    add("--jobs", type=int, default=1, help="processes at a time, one thread each [%(default)s]")
    add("--timeout", type=int, default=300, metavar="S", help="CPU time of a model [%(default)s]")
    add("--retry", action="store_true", help="try those again that did not run in every step")
    add("--out", default="docs/results/zoo.json", help="results, gone on with [%(default)s]")
    add("--page", metavar="FILE.md", help="write the table of --out to this page; try nothing")

    def run(args: argparse.Namespace) -> int:
        from lbwdet.evaluation.zoo.page import summary, write_page

        if args.page:
            write_page(args.out, args.page)
            return 0
        from lbwdet.evaluation.zoo.walk import walk

        print(summary(walk(args.out, args.filter, args.jobs, args.timeout, args.retry)))
        return 0

    return run


def _sweep_mu(parser: argparse.ArgumentParser) -> Run:
    parser.add_argument("config", help="a detector config, float or quantized")
    parser.add_argument("checkpoint", help="weights that fit it, usually float ones")
    parser.add_argument("--bit-width", type=int, nargs="+", default=[3, 4, 5, 6], metavar="BITS")
    parser.add_argument(
        "--mu", type=float, nargs="+", metavar="MU", help="fractions of a layer's max|W|"
    )
    parser.add_argument("--code", default="paper", help="paper or dense [%(default)s]")
    parser.add_argument(
        "--retrain", type=int, default=0, metavar="EPOCHS", help="at each point [%(default)s]"
    )
    parser.add_argument("--lr", type=float, help="learning rate of it [that of the config]")
    parser.add_argument("--num-images", type=int, metavar="N", help="only the first N test images")
    parser.add_argument("--out-dir", default="work_dirs/sweep_mu", help="[%(default)s]")
    parser.add_argument("--threads", type=int, help="CPU threads [all]")
    parser.add_argument("--data-root", metavar="ROOT", help="overrides the data root")
    parser.add_argument("--cfg-options", nargs="+", action=_KeyValue, metavar="KEY=VALUE")

    def run(args: argparse.Namespace) -> int:
        from lbwdet.evaluation.mu_sweep import MUS, sweep_mu
        from lbwdet.evaluation.mu_sweep_report import markdown

        content = sweep_mu(
            args.config,
            args.checkpoint,
            args.out_dir,
            bit_widths=args.bit_width,
            mus=args.mu or MUS,
            code=args.code,
            retrain=args.retrain,
            learning_rate=args.lr,
            num_images=args.num_images,
            threads=args.threads,
            data_root=args.data_root,
            cfg_options=args.cfg_options,
        )
        print(markdown(content))
        print(f"Figure, table and JSON: {args.out_dir}")
        return 0

    return run


def _export_onnx(parser: argparse.ArgumentParser) -> Run:
    parser.add_argument("artifact", metavar="MODEL.lbw")
    parser.add_argument("--out", required=True, metavar="MODEL.onnx")
    parser.add_argument(
        "--part",
        choices=("detector", "dense"),
        default="detector",
        help="image to boxes, or normalized image to feature maps and proposal scores [detector]",
    )
    parser.add_argument(
        "--float-activations", action="store_true", help="int8 weights, but float32 activations"
    )

    def run(args: argparse.Namespace) -> int:
        from lbwdet.deploy.runtime.artifact import read_artifact

        artifact = read_artifact(args.artifact)
        try:
            from lbwdet.deploy.onnx.export import export_onnx
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"{error.name} is not installed; get it with: pip install 'lbwdet[engines]'"
            ) from error
        model = export_onnx(artifact, args.out, args.part, args.float_activations)
        size = os.path.getsize(args.out)
        print(f"{args.out}: {args.part}, {len(model.graph.node)} nodes, {size / 1e6:.2f} MB")
        return 0

    return run


COMMANDS: dict[str, tuple[Callable[[argparse.ArgumentParser], Run], str]] = {
    "train": (_train, "train a detector from a config"),
    "test": (_test, "evaluate a checkpoint with the config's own metric"),
    "compare": (_compare, "compare models: mAP, bytes, latency, pictures"),
    "image-demo": (_image_demo, "draw detections on images"),
    "benchmark": (_benchmark, "time an artifact and its peers, part by part"),
    "export": (_export, "write a trained detector as an artifact for CPU engines"),
    "experiment": (_experiment, "train and measure seeds x variants for docs/results.md"),
    "sweep-mu": (_sweep_mu, "look for the threshold solver's mu: error and mAP against it"),
    "study": (_study, "reproduce the theory of straight-through estimators"),
    "results": (_results, "write the tables of README.md and docs/results.md from JSON"),
    "make-toy-data": (_make_toy_data, "draw the toy data set"),
    "quantize": (_quantize, "write the config that trains any detector quantized"),
    "inspect": (_inspect, "show each layer of a config, or what is in a deployed model.lbw"),
    "allocate": (_allocate, "choose each layer's bit width for a size"),
    "zoo": (_zoo, "try every config that MMDetection ships, in float and quantized"),
    "demo": (_demo, "toy demo in minutes; or detections of a model.lbw, drawn"),
    "export-onnx": (_export_onnx, "write an artifact as an ONNX model for other engines"),
}


def parse(arguments: Sequence[str]) -> tuple[Run, argparse.Namespace]:
    """The command that a command line names, and its options; argparse ends what it refuses."""
    parser = argparse.ArgumentParser(
        prog="lbwdet", description="Low-bit-width detectors for MMDetection."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run: Run | None = None
    for name, (build, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary.capitalize() + ".")
        if name in arguments[:1]:
            run = build(command)
    options = parser.parse_args(arguments)
    assert run is not None  # argparse has refused every other command
    return run, options


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Returns 0, or 2 after a message for the user."""
    # MMEngine 0.10.7 imports it; nothing that a user could do about the warning.
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
    try:
        run, options = parse(list(sys.argv[1:] if arguments is None else arguments))
        return run(options)
    except LBWError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        module = (error.name or "").split(".")[0]
        if (extra := _EXTRAS.get(module)) is None:
            raise
        print(
            f"error: this command needs {module}, which is not installed: "
            f"pip install 'lbwdet[{extra}]'",
            file=sys.stderr,
        )
        return 2


def _set_local_rank(args: argparse.Namespace) -> None:
    if args.local_rank is not None:
        os.environ.setdefault("LOCAL_RANK", str(args.local_rank))


if __name__ == "__main__":
    sys.exit(main())
