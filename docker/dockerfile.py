"""Reads a Dockerfile and a .dockerignore: what the project's own files use of them, no more."""

import fnmatch
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lbwdet.errors import DataError

INSTRUCTIONS = ("ARG", "WORKDIR", "COPY", "RUN", "ENTRYPOINT", "CMD")
_FROM = re.compile(r"(?P<image>\S+)(?:\s+AS\s+(?P<name>\S+))?", re.IGNORECASE)


@dataclass(frozen=True)
class Step:
    """One instruction.

    Attributes:
        line: where it begins in the file, from 1.
        instruction: in capitals.
        text: what follows it, continued lines joined.
    """

    line: int
    instruction: str
    text: str

    def words(self) -> list[str]:
        """Of ``ENTRYPOINT ["..."]`` and ``CMD ["..."]``, which need no shell."""
        try:
            words = json.loads(self.text)
        except ValueError:
            words = None
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise DataError(
                f'line {self.line}: {self.instruction} {self.text}: give a list, ["word", "word"]'
            )
        return words


@dataclass(frozen=True)
class Copy:
    """What ``COPY`` says.

    Attributes:
        stage: name of the stage to copy from; None: the build's context.
        sources: paths there; without a leading slash.
        target: path in the image.
    """

    stage: str | None
    sources: list[str]
    target: str

    @classmethod
    def of(cls, step: Step) -> "Copy":
        words = shlex.split(step.text)
        options = [word for word in words if word.startswith("--")]
        *sources, target = [word for word in words if not word.startswith("--")] or [""]
        if not sources or any(not option.startswith("--from=") for option in options):
            raise DataError(
                f"line {step.line}: COPY {step.text}: give [--from=STAGE] SOURCE ... TARGET"
            )
        if len(sources) > 1 and not target.endswith("/"):
            raise DataError(f"line {step.line}: COPY of several sources: end {target} with a slash")
        stage = options[-1].removeprefix("--from=") if options else None
        return cls(stage, [source.strip("/") for source in sources], target)


@dataclass
class Stage:
    """What stands between one ``FROM`` and the next."""

    image: str
    name: str | None
    steps: list[Step] = field(default_factory=list)


def parse(text: str) -> list[Stage]:
    """The stages of a Dockerfile, in order.

    Raises:
        DataError: an instruction that is not among :data:`INSTRUCTIONS`, or one before ``FROM``.
    """
    stages: list[Stage] = []
    for line, instruction, rest in _instructions(text):
        if instruction == "FROM":
            if (found := _FROM.fullmatch(rest)) is None:
                raise DataError(f"line {line}: FROM {rest}: give FROM IMAGE [AS NAME]")
            stages.append(Stage(found["image"], found["name"]))
        elif instruction not in INSTRUCTIONS:
            raise DataError(
                f"line {line}: {instruction} is not understood, only FROM, "
                f"{', '.join(INSTRUCTIONS)}"
            )
        elif not stages:
            raise DataError(f"line {line}: {instruction} before the first FROM")
        else:
            stages[-1].steps.append(Step(line, instruction, rest))
    if not stages:
        raise DataError("no FROM, so no image")
    return stages


def _instructions(text: str) -> Iterator[tuple[int, str, str]]:
    parts: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or not line.strip():  # also within a continued one
            continue
        first = first if parts else number
        parts.append(line.strip().removesuffix("\\").strip())
        if not line.rstrip().endswith("\\"):
            instruction, _, rest = " ".join(parts).partition(" ")
            yield first, instruction.upper(), rest.strip()
            parts = []
    if parts:
        raise DataError(f"line {first}: the last line of the file ends with a backslash")


def ignored(patterns: list[str], path: str) -> bool:
    """Whether the lines of a .dockerignore leave out a path of the build's context.

    >>> ignored([".git", "**/*.so"], "lbwdet/deploy/a.so"), ignored(["data"], "lbwdet/data")
    (True, False)
    """
    parts = Path(path).parts
    places = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    return any(_matches(pattern, place) for pattern in patterns for place in places)


def _matches(pattern: str, place: str) -> bool:
    folders, wanted = place.split("/"), pattern.split("/")
    if wanted[0] == "**":  # any number of folders before the rest
        folders, wanted = folders[-len(wanted[1:]) :], wanted[1:]
    return len(folders) == len(wanted) and all(map(fnmatch.fnmatchcase, folders, wanted))


def read_ignore(context: Path) -> list[str]:
    """The lines of the context's .dockerignore.

    Raises:
        DataError: an exception (``!path``), which is not understood.
    """
    path = context / ".dockerignore"
    lines = path.read_text().splitlines() if path.is_file() else []
    patterns = [line.strip().strip("/") for line in lines if not line.startswith("#")]
    if excepted := [pattern for pattern in patterns if pattern.startswith("!")]:
        raise DataError(f"{path}: {excepted[0]}: exceptions are not understood")
    return [pattern for pattern in patterns if pattern]
