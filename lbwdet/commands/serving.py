"""A detector behind HTTP."""

import argparse

from lbwdet.commands.options import Run, add_shared, natural, positive, settings_of


def serve(parser: argparse.ArgumentParser) -> Run:
    add = parser.add_argument
    add("artifact", metavar="MODEL.lbw", help="written by lbwdet export")
    add("--host", default="127.0.0.1", help="where to listen [%(default)s: this machine alone]")
    add("--port", type=natural, default=8000, help="0: any that is free [%(default)s]")
    add(
        "--workers",
        type=positive,
        default=1,
        metavar="N",
        help="images that are looked at at the same time [%(default)s]",
    )
    add_shared(parser, "--threads", help="CPU threads for each of them [all, divided]")
    add(
        "--queue",
        type=natural,
        default=16,
        metavar="N",
        help="requests that may wait; one more gets 429 [%(default)s]",
    )
    add(
        "--max-bytes",
        type=positive,
        default=16 << 20,
        metavar="N",
        help="of a request; a longer one gets 413 [%(default)s]",
    )
    add(
        "--max-pixels",
        type=positive,
        default=1 << 26,
        metavar="N",
        help="of an image; a larger one gets 413 [%(default)s]",
    )
    add(
        "--timeout",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="for each request [%(default)g]",
    )
    add_shared(parser, "--score-thr")
    page = parser.add_mutually_exclusive_group()
    page.add_argument(
        "--page",
        metavar="FOLDER",
        help="web/ with what 'make web' has built, for / [that of the checkout; without it a small "
        "page that sends pictures]",
    )
    page.add_argument(
        "--no-page", action="store_true", help="no page at /, and nobody can load the artifact"
    )

    def run(args: argparse.Namespace) -> None:
        from lbwdet.serving.serve import serve
        from lbwdet.serving.settings import ServingSettings

        settings = settings_of(ServingSettings, args)
        serve(args.artifact, args.host, args.port, settings, args.page, not args.no_page)

    return run
