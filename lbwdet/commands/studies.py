"""What the pages in ``docs`` report: experiments, sweeps and their tables."""

import argparse

from lbwdet.commands.options import Run, add_shared, natural, positive, settings_of


def experiment(parser: argparse.ArgumentParser) -> Run:
    add = parser.add_argument
    add(
        "name",
        help="bccd, bccd_projected, voc-sample, voc-sample_yolox_nano or voc-sample_frcnn_lite0",
    )
    add("--out", metavar="FILE.json", help="results [docs/results/<name>.json]")
    add_shared(parser, "--work-dir", help="for checkpoints [work_dirs/experiment/<name>]")
    add("--seeds", type=natural, nargs="+", default=[0, 1, 2], metavar="SEED", help="[0 1 2]")
    add("--variants", nargs="+", help="only these, for example 6bit 4bit")
    add("--width", type=positive, default=64, help="R18's first channels [%(default)s]")
    add("--jobs", type=positive, default=1, metavar="N", help="trainings at a time [%(default)s]")
    add_shared(parser, "--threads", default=2, help="CPU threads of each [%(default)s]")

    def run(args: argparse.Namespace) -> None:
        from lbwdet.studies.experiment import ExperimentSettings, run_experiment

        settings = settings_of(ExperimentSettings, args)
        run_experiment(args.name, args.out, args.work_dir, settings)

    return run


def sweep_mu(parser: argparse.ArgumentParser) -> Run:
    add = parser.add_argument
    add_shared(parser, "config")
    add_shared(parser, "checkpoint", help="weights that fit it, usually float ones")
    add(
        "--bit-widths",
        "--bit-width",
        type=int,
        nargs="+",
        default=[3, 4, 5, 6],
        metavar="B",
        help="[3 4 5 6]",
    )
    add("--mu", type=float, nargs="+", metavar="MU", help="fractions of a layer's max|W|")
    add_shared(parser, "--code", default="paper")
    add(
        "--retrain",
        type=natural,
        default=0,
        metavar="EPOCHS",
        help="at each point [%(default)s]",
    )
    add("--lr", type=float, help="learning rate of it [as the config says]")
    add_shared(parser, "--out-dir", default="work_dirs/sweep_mu")
    add_shared(parser, "--num-images", "--threads", "--data-root", "--cfg-options")

    def run(args: argparse.Namespace) -> None:
        from lbwdet.studies.mu_sweep import MUS, SweepSettings, sweep_mu
        from lbwdet.studies.mu_sweep_report import markdown

        mus = MUS if args.mu is None else args.mu
        settings = settings_of(SweepSettings, args, mus=mus, learning_rate=args.lr)
        print(markdown(sweep_mu(args.config, args.checkpoint, args.out_dir, settings)))
        print(f"Figure, table and JSON: {args.out_dir}")

    return run


def study(parser: argparse.ArgumentParser) -> Run:
    parser.add_argument("name", choices=("ste",), help="ste: straight-through estimators")
    add_shared(parser, "--out-dir", default="docs/studies")
    parser.add_argument(
        "--samples",
        type=positive,
        default=200_000,
        metavar="N",
        help="of each Monte Carlo estimate [%(default)s]",
    )
    add_shared(parser, "--seed")

    def run(args: argparse.Namespace) -> None:
        from lbwdet.studies.ste import markdown, run_study

        print(markdown(run_study(args.out_dir, samples=args.samples, seed=args.seed)))
        print(f"\nFigures and {args.name}.json: {args.out_dir}")

    return run


def zoo(parser: argparse.ArgumentParser) -> Run:
    add = parser.add_argument
    add("--filter", default="*", metavar="GLOB", help="on family/config.py [%(default)s]")
    add(
        "--jobs",
        type=positive,
        default=1,
        metavar="N",
        help="processes at a time, one thread each [%(default)s]",
    )
    add(
        "--timeout",
        type=positive,
        default=300,
        metavar="S",
        help="CPU seconds of a model [%(default)s]",
    )
    add(
        "--deploy",
        nargs="?",
        const="run",
        choices=("run", "lower"),
        help="export those that run, run both engines and compare them with MMDetection; lower: "
        "say what cannot be deployed, in seconds a model",
    )
    add("--retry", action="store_true", help="try those again that are not yet all right")
    add(
        "--out",
        default="docs/results/zoo.json",
        metavar="FILE.json",
        help="results, gone on with [%(default)s]",
    )
    add("--page", metavar="FILE.md", help="write the table of --out to this page; try nothing")

    def run(args: argparse.Namespace) -> None:
        from lbwdet.studies.zoo.page import deployment_summary, summary, write_page

        if args.page:
            write_page(args.out, args.page)
            return
        if args.deploy:
            from lbwdet.studies.zoo.deploy_walk import walk_deployment

            content = walk_deployment(
                args.out, args.filter, args.deploy, args.jobs, args.timeout, args.retry
            )
            print(deployment_summary(content))
            return
        from lbwdet.studies.zoo.walk import walk

        print(summary(walk(args.out, args.filter, args.jobs, args.timeout, args.retry)))

    return run


def trained_zoo(parser: argparse.ArgumentParser) -> Run:
    add = parser.add_argument
    add("--only", nargs="+", metavar="NAME", help="these detectors, for example fcos [all]")
    add(
        "--out",
        default="docs/results/trained_zoo.json",
        metavar="FILE.json",
        help="results, gone on with [%(default)s]",
    )
    add_shared(
        parser,
        "--work-dir",
        default="work_dirs/trained_zoo",
        help="for checkpoints and artifacts [%(default)s]",
    )
    add_shared(parser, "--data-root", default="data/toy", help="of the toy data set [%(default)s]")
    add_shared(parser, "--threads")

    def run(args: argparse.Namespace) -> None:
        from lbwdet.studies.trained_zoo import run_trained_zoo
        from lbwdet.studies.trained_zoo_report import markdown

        content = run_trained_zoo(args.out, args.work_dir, args.data_root, args.only, args.threads)
        print(markdown(content))

    return run


def results(parser: argparse.ArgumentParser) -> Run:
    pages = ["README.md", "docs/results.md"]
    parser.add_argument(
        "pages", nargs="*", default=pages, metavar="PAGE", help=f"[{' '.join(pages)}]"
    )
    parser.add_argument(
        "--results", default="docs/results", metavar="DIR", help="JSON files [%(default)s]"
    )

    def run(args: argparse.Namespace) -> None:
        from lbwdet.studies.results_page import update_pages

        update_pages(args.pages, args.results)

    return run
