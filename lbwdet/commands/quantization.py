"""Bit widths of a detector's layers: quantize, inspect and allocate."""

import argparse
from pathlib import Path
from typing import Any

from lbwdet.commands.options import Run, add_shared, natural, positive, settings_of
from lbwdet.errors import ConfigError, DataError

IMAGES = 64  # of --num, unless it is given


def quantize(parser: argparse.ArgumentParser) -> Run:
    add = parser.add_argument
    add_shared(parser, "config")
    add_shared(parser, "--bit-width")
    add_shared(parser, "--code", "--granularity")
    add("--keep-float", nargs="+", default=[], metavar="GLOB", help="layers that stay float")
    add("--checkpoint", help="float weights to start from; their mAP is measured, if there is data")
    add("--no-map", action="store_true", help="do not measure mAP")
    add("--out", metavar="NEW.py", help="the config to write; with --post-training a folder")
    add(
        "--post-training",
        metavar="FOLDER_OR_SPLIT",
        help="choose the weights, too, by images without labels: a folder, or train, val or test",
    )
    add("--num", type=positive, default=IMAGES, metavar="N", help="of these images [%(default)s]")
    add(
        "--refine",
        type=natural,
        default=0,
        metavar="STEPS",
        help="then adjust the weights by gradient, still without labels [%(default)s]",
    )
    add(
        "--activations",
        choices=("float", "tensor", "channel"),
        default="float",
        help="with --post-training: of 8 bits, calibrated on the same images, with a step for each "
        "tensor or each channel; float: export calibrates them [%(default)s]",
    )
    add("--no-deploy-check", action="store_true", help="do not say whether it can be deployed")
    add("--from-low-bit", action="store_true", help="the checkpoint may be a low-bit one")
    add(
        "--norms-only",
        action="store_true",
        help="of a low-bit config that was trained: keep the levels, estimate batch norms anew",
    )
    add_shared(parser, "--num-images", "--data-root")

    def run(args: argparse.Namespace) -> None:
        if args.norms_only:
            _estimate_norms(args)
            return
        if args.bit_width is None:
            raise ConfigError("--bit-width is missing: 1 to 8")
        weight = dict(bit_width=args.bit_width, code=args.code, granularity=args.granularity)
        if args.post_training is not None:
            _post_train(args, weight)
            return
        _refuse(args, "belongs to --post-training", "activations", "refine", "from_low_bit", "num")
        if args.out is None:
            raise ConfigError("--out NEW.py is missing: the config to write")
        from lbwdet.bit_plan.quantized_config import (
            float_and_quantized_map,
            summary,
            write_quantized_config,
        )

        written = write_quantized_config(
            args.config, args.out, weight, args.keep_float, checkpoint=args.checkpoint
        )
        print(f"{args.out}: {summary(written, args.bit_width)}")
        if args.checkpoint and not args.no_map:
            files = (args.config, args.out, args.checkpoint)
            try:
                plain, low = float_and_quantized_map(*files, args.num_images, args.data_root)
            except DataError as error:
                print(f"mAP was not measured: {error}")
            else:
                print(f"mAP without training: {plain:.3f} float, {low:.3f} quantized")
        _say_deployable(args, args.out)
        print(f"Train it: lbwdet train {args.out}")

    return run


def _refuse(args: argparse.Namespace, why: str, *names: str) -> None:
    """Options that would do nothing.

    Raises:
        ConfigError: one of them was given.
    """
    plain = dict(activations="float", refine=0, from_low_bit=False, num=IMAGES, keep_float=[])
    plain |= dict(code="dense", granularity="tensor")
    for name in names:
        if getattr(args, name) != plain[name]:
            raise ConfigError(f"--{name.replace('_', '-')} {why}")


def _say_deployable(args: argparse.Namespace, *files: str | Path) -> None:
    if not args.no_deploy_check:
        from lbwdet.export import deployability

        print(deployability(*files))


def _estimate_norms(args: argparse.Namespace) -> None:
    if args.post_training is None or args.checkpoint is None or args.bit_width is not None:
        raise ConfigError(
            "--norms-only needs --post-training IMAGES and --checkpoint, and takes the bit width "
            "from the config"
        )
    why = "does nothing with --norms-only, which changes no weight"
    _refuse(args, why, "activations", "refine", "from_low_bit", "keep_float", "code", "granularity")
    from lbwdet.bit_plan.norm_estimation import estimate_detector_norms

    result = estimate_detector_norms(
        args.config,
        args.checkpoint,
        args.post_training,
        args.out or f"work_dirs/{Path(args.config).stem}_norms",
        num=args.num,
        measure=not args.no_map,
        num_images=args.num_images,
        data_root=args.data_root,
    )
    print(result.text())


def _post_train(args: argparse.Namespace, weight: dict[str, Any]) -> None:
    if args.checkpoint is None:
        raise ConfigError("--post-training needs --checkpoint: the float weights to start from")
    from lbwdet.bit_plan.post_training import post_train_detector

    out = args.out or f"work_dirs/{Path(args.config).stem}_{args.code}_{args.bit_width}bit"
    if Path(out).suffix == ".py":
        raise ConfigError(
            f"--out {out}: --post-training writes a config and weights; name a folder for them"
        )
    result = post_train_detector(
        args.config,
        args.checkpoint,
        args.post_training,
        out,
        weight,
        num=args.num,
        keep_float=args.keep_float,
        refine_steps=args.refine,
        from_low_bit=args.from_low_bit,
        measure=not args.no_map,
        num_images=args.num_images,
        data_root=args.data_root,
        activation=None
        if args.activations == "float"
        else dict(bit_width=8, signed_bit_width=8, granularity=args.activations),
    )
    print(result.text())
    _say_deployable(args, result.config, result.checkpoint)


def inspect(parser: argparse.ArgumentParser) -> Run:
    add = parser.add_argument
    add_shared(parser, "config", help="an MMDetection config, or a deployed model.lbw")
    add_shared(parser, "checkpoint", nargs="?", help="weights that fit the config")
    add_shared(parser, "--bit-width", help="quantize at this, all as --code and --granularity say")
    add_shared(parser, "--code", "--granularity")
    add("--sensitivity", choices=("loss", "map", "none"), default="none", help="[%(default)s]")
    _add_sensitivity_options(parser, widths="sensitivity at these, too", default=[])
    add(
        "--sort",
        choices=("order", "name", "zeros", "error", "bytes", "sensitivity"),
        default="order",
        help="[%(default)s]",
    )
    add_shared(parser, "--out-dir", help="gets inspect.json, inspect.md, inspect.png")
    add("--json", action="store_true", help="of a model.lbw: everything, for programs")
    add_shared(parser, "--data-root", "--cfg-options")

    def run(args: argparse.Namespace) -> None:
        if args.config.endswith(".lbw"):
            if args.out_dir:
                raise ConfigError(f"--out-dir: {args.config} is printed; --json is for programs")
            from lbwdet.deploy.inspect import describe

            print(describe(args.config, as_json=args.json))
            return
        from lbwdet.bit_plan.inspection import (
            InspectSettings,
            inspect_model,
            markdown,
            write_inspection,
        )

        weight = dict(bit_width=args.bit_width, code=args.code, granularity=args.granularity)
        settings = settings_of(
            InspectSettings, args, weight=None if args.bit_width is None else weight
        )
        inspected = inspect_model(args.config, args.checkpoint, settings)
        print(markdown(inspected, args.sort))
        if args.out_dir:
            write_inspection(inspected, args.out_dir, args.sort)
            print(f"See {args.out_dir}/inspect.png")

    return run


def allocate(parser: argparse.ArgumentParser) -> Run:
    add = parser.add_argument
    add_shared(parser, "config", help="a float config")
    add_shared(parser, "checkpoint", help="its float weights")
    add("--budget-mb", type=float, metavar="MB", help="size of all that is stored, 10**6 bytes")
    add("--average-bits", type=float, metavar="B", help="or mean bits of a quantized weight")
    add_shared(parser, "--code", "--granularity")
    add("--sensitivity", choices=("loss", "map"), default="loss", help="[%(default)s]")
    _add_sensitivity_options(parser, widths="what a layer may get [2 3 4 6]", default=[2, 3, 4, 6])
    add("--inspect", metavar="inspect.json", help="sensitivities that lbwdet inspect measured")
    add(
        "--map-images",
        type=natural,
        metavar="N",
        help="measure mAP, too, on the first N test images; 0: all",
    )
    add("--out", required=True, metavar="NEW.py", help="the config to write")
    add_shared(parser, "--data-root")

    def run(args: argparse.Namespace) -> None:
        from lbwdet.bit_plan.planning import PlanSettings, markdown, plan_bits

        settings = settings_of(
            PlanSettings,
            args,
            weight=dict(code=args.code, granularity=args.granularity),
            measure=args.sensitivity,
            inspected=args.inspect,
        )
        print(markdown(plan_bits(args.config, args.checkpoint, args.out, settings)))
        print(f"Train it: lbwdet train {args.out}")

    return run


def _add_sensitivity_options(
    parser: argparse.ArgumentParser, widths: str, default: list[int]
) -> None:
    parser.add_argument(
        "--bit-widths", type=int, nargs="+", default=default, metavar="B", help=widths
    )
    parser.add_argument(
        "--num-images",
        type=positive,
        default=8,
        metavar="N",
        help="images for the sensitivity [%(default)s]",
    )
