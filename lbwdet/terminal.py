"""How a command talks to a terminal, and how it ends: shared by every command line."""

import os
import sys
import unicodedata
from collections.abc import Callable
from typing import TextIO

from lbwdet.errors import LBWError

# Categories of characters that move the cursor, hide or turn text, or are no text at all.
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # of that kind, but words of Persian and of emoji need them


def printable(text: str, lines: bool = False) -> str:
    r"""Text of foreign origin, a class or file name, with nothing in it but what can be seen.

    Args:
        text: any text.
        lines: whether line breaks may stay, as in a message of several lines.

    >>> printable("cat\n0.99 dog\x1b[2J")
    'cat\\n0.99 dog\\x1b[2J'
    """
    return "".join(
        letter
        if unicodedata.category(letter) not in _UNPRINTABLE
        or letter in _JOINERS
        or (lines and letter == "\n")
        else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def run_command(command: Callable[[], None]) -> int:
    """Runs a command; whatever a user can cause ends in one sentence.

    Returns:
        0; 2 after a message for the user; 130 after Ctrl-C; 141 where nobody reads the output
        any more (``| head``).
    """
    for stream in (sys.stdout, sys.stderr):
        _write_any_letter(stream)
    try:
        try:
            command()
        finally:
            sys.stdout.flush()  # here, where a reader that has left can be told from a fault
    except LBWError as error:
        return _refused(_of_worker(str(error), type(error).__name__))
    except BrokenPipeError:
        _silence(sys.stdout)
        return 141
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    except OSError as error:
        return _refused(reason(error))
    return 0


def _refused(message: str) -> int:
    _say(f"error: {printable(message, lines=True)}")
    try:
        sys.stdout.flush()
    except OSError:  # the output itself is what cannot be written
        _silence(sys.stdout)
    return 2


def reason(error: OSError) -> str:
    """Which file, and why: a full disk, a folder without permission, a file that is gone.

    >>> reason(FileNotFoundError(2, "No such file or directory", "a.jpg"))
    'a.jpg: No such file or directory'
    """
    name = type(error).__name__
    if error.strerror is None:
        return _of_worker(str(error).strip(), name) or name
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    return f"{where}{error.strerror}"


def _of_worker(message: str, kind: str) -> str:
    """The message itself, where a worker of torch's has put its whole trace around it."""
    if not (message.startswith("Caught ") and "Traceback (most recent call last)" in message):
        return message
    return message.rpartition(f"{kind}: ")[2].strip()


def _say(line: str) -> None:
    try:
        print(line, file=sys.stderr)
    except OSError:
        _silence(sys.stderr)


def _write_any_letter(stream: TextIO) -> None:
    """Where the terminal's encoding lacks a letter, its number is written instead of a trace."""
    reconfigure = getattr(stream, "reconfigure", None)  # tests put other things in its place
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _silence(stream: TextIO) -> None:
    """Nothing more can be said there, not even what Python writes as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
