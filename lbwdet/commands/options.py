"""The flags that mean the same in several commands, each said once."""

import argparse
import os
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

Run = Callable[[argparse.Namespace], None]
Settings = TypeVar("Settings")
_QUOTED_TEXT = re.compile(r"""(?P<key>[^=]+)=(?P<quote>['"])(?P<text>[^\[(].*)(?P=quote)""")


def positive(text: str) -> int:
    """A count of at least 1."""
    return _whole(text, 1)


def natural(text: str) -> int:
    """A count of at least 0."""
    return _whole(text, 0)


def _whole(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {least} or more")
    return int(text)


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


_SHARED: dict[str, dict[str, Any]] = {
    "config": dict(help="an MMDetection config: a file, or mmdet::family/config.py"),
    "checkpoint": dict(help="weights that fit it"),
    "--cfg-options": dict(
        nargs="+",
        action=_KeyValue,
        metavar="KEY=VALUE",
        help="override settings of the config: a.b=1 c.d='[1,2]'",
    ),
    "--data-root": dict(metavar="ROOT", help="root of the VOC-format data [as the config says]"),
    "--work-dir": dict(metavar="DIR", help="for logs and checkpoints"),
    "--out-dir": dict(metavar="DIR", help="for what is written [%(default)s]"),
    "--num-images": dict(type=positive, metavar="N", help="only the first N test images [all]"),
    "--device": dict(default="cpu", help="where the models run [%(default)s]"),
    "--threads": dict(type=positive, metavar="N", help="CPU threads [all]"),
    "--seed": dict(type=natural, default=0, help="of everything random [%(default)s]"),
    "--score-thr": dict(
        type=float, default=0.3, metavar="SCORE", help="boxes from this score on [%(default)s]"
    ),
    "--bit-width": dict(type=int, metavar="B", help="1 to 8"),
    "--code": dict(choices=("paper", "dense", "two-term"), default="dense", help="[%(default)s]"),
    "--granularity": dict(choices=("tensor", "channel"), default="tensor", help="[%(default)s]"),
}


def add_shared(parser: argparse.ArgumentParser, *names: str, **changes: Any) -> None:
    """Adds the shared arguments of these names, with ``changes`` to what is said of them here."""
    for name in names:
        parser.add_argument(name, **{**_SHARED[name], **changes})


def settings_of(kind: type[Settings], args: argparse.Namespace, **others: Any) -> Settings:
    """A settings object: ``others``, and what the flags say that are named as its fields are."""
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    said = {name: value for name, value in vars(args).items() if name in names}
    return kind(**(said | others))


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """``--launcher``, and the rank that ``torch.distributed.launch`` passes."""
    parser.add_argument(
        "--launcher",
        choices=("none", "pytorch", "slurm", "mpi"),
        default="none",
        help="what started this process as one of several [%(default)s]",
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)


def set_local_rank(args: argparse.Namespace) -> None:
    """Puts the rank where MMEngine looks for it, unless it is there, as torchrun does."""
    if args.local_rank is not None:
        os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
