"""What may be printed, and how a command ends."""

import errno
import os
import subprocess
import sys

import pytest

from lbwdet.errors import LBWError
from lbwdet.terminal import printable, run_command


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Straße 猫 🐈", "Straße 猫 🐈"),
        ("می\u200cروم", "می\u200cروم"),
        ("a\tb\r\n\x1b[31m\x07", "a\\tb\\r\\n\\x1b[31m\\x07"),
        (
            "\x9b31m \x85 \u2028 \u202e \ufeff \udcff",
            "\\x9b31m \\x85 \\u2028 \\u202e \\ufeff \\udcff",
        ),
    ],
)
def test_only_what_can_be_seen_is_printed(text, shown):
    assert printable(text) == shown


def test_lines_may_stay():
    assert printable("a\n  b\x1b", lines=True) == "a\n  b\\x1b"


WORKER = """Caught OSError in DataLoader worker process 0.
Original Traceback (most recent call last):
  File "worker.py", line 351, in _worker_loop
{}: {}
"""


def fail(error):
    raise error


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (LBWError("a\n b\x1b[2J"), 2, "error: a\n b\\x1b[2J\n"),
        (OSError(errno.ENOSPC, "No space left on device", "x.json"), 2, "error: x.json: No space"),
        (OSError(errno.EROFS, "Read-only file system"), 2, "error: Read-only file system\n"),
        (PermissionError(13, "Permission denied", b"\xff"), 2, "error: \\udcff: Permission denied"),
        (OSError(WORKER.format("OSError", "gone")), 2, "error: gone\n"),
        (LBWError(WORKER.format("lbwdet.errors.LBWError", "a\n b")), 2, "error: a\n b\n"),
        (OSError(), 2, "error: OSError\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_ends_in_one_sentence(error, code, message, capsys):
    assert run_command(lambda: fail(error)) == code
    assert capsys.readouterr().err.startswith(message)


def test_other_mistakes_are_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: fail(ZeroDivisionError()))
    assert run_command(lambda: None) == 0


def run(code, **options):
    program = f"import sys; from lbwdet.terminal import run_command; sys.exit(run_command({code}))"
    return subprocess.run(
        [sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, **options
    )


def test_an_encoding_that_lacks_the_letters():
    environment = dict(os.environ, PYTHONIOENCODING="ascii")
    done = run("lambda: print('猫')", stdout=subprocess.PIPE, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\\u732b\n", "")


def test_an_output_that_is_full():
    with open("/dev/full", "w") as full:
        done = run("lambda: print('much')", stdout=full)
    assert (done.returncode, done.stderr) == (2, "error: No space left on device\n")
