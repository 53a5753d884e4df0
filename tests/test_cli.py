"""The command line itself: what it lists, refuses and imports, and how it ends."""

import argparse
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lbwdet import __version__
from lbwdet.cli import COMMANDS, main
from lbwdet.errors import LBWError

REPOSITORY = Path(__file__).parents[1]
TOY_6BIT = str(REPOSITORY / "configs" / "lbw_frcnn_toy_6bit.py")
ARTIFACT = str(REPOSITORY / "tests" / "deploy" / "golden" / "plain.lbw")


def test_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    printed = capsys.readouterr().out
    assert stop.value.code == 0 and all(name in printed for name in COMMANDS)
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["trian"], "invalid choice: 'trian'"),
        (["train"], "required: config"),
        (["train", "a.py", "--cfg-options", "nonsense"], "'nonsense' is not of the form key=value"),
        (["train", "a.py", "--cfg-options", "a=[1,2"], "'a=[1,2' is not of the form key=value"),
        (["train", "a.py", "--launcher", "ssh"], "invalid choice: 'ssh'"),
        (["test", "a.py"], "required: checkpoint"),
        (["image-demo", "a.jpg", "a.py", "a.pth", "--score-thr", "high"], "invalid float value"),
    ],
)
def test_usage_errors(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith("usage: lbwdet") and message in printed


def test_errors_while_training_are_told_without_a_trace(monkeypatch, capsys):
    def diverged(*arguments, **options):
        raise LBWError("backbone.conv1: NaN")

    monkeypatch.setattr("lbwdet.training.run.train", diverged)
    assert main(["train", "a.py"]) == 2
    assert capsys.readouterr().err == "error: backbone.conv1: NaN\n"


@pytest.mark.parametrize(
    ("module", "arguments", "extra"),
    [
        ("tqdm", ["make-toy-data"], "train"),
        ("torch", ["train", TOY_6BIT], "train"),
        ("torch", ["compare", "a=b.py:c", "--out-dir", "x"], "train"),
    ],
)
def test_what_is_not_installed(module, arguments, extra, tmp_path):
    program = f"import sys; sys.modules[{module!r}] = None; from lbwdet.cli import main; "
    run = subprocess.run(
        [sys.executable, "-c", program + f"sys.exit(main({arguments!r}))"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert run.returncode == 2 and list(tmp_path.iterdir()) == []
    assert run.stderr == (
        f"error: this command needs {module}, which is not installed: "
        f"pip install 'lbwdet[{extra}]'\n"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command_says_what_every_flag_is(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    printed = capsys.readouterr().out
    assert stop.value.code == 0 and printed.startswith(f"usage: lbwdet {name} ")
    assert COMMANDS[name][1][1:] in " ".join(printed.split())
    parser = argparse.ArgumentParser()
    COMMANDS[name][0](parser)
    assert [action.dest for action in parser._actions if not action.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_flag_that_there_is_not(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name, "--no-such-flag"])
    printed = capsys.readouterr().err
    assert stop.value.code == 2 and printed.startswith(f"usage: lbwdet {name} ")
    assert f"lbwdet {name}: error: " in printed


@pytest.mark.parametrize("flag", ["--data-root", "--cfg-options", "--threads", "--score-thr"])
def test_a_flag_is_of_one_kind_wherever_it_is(flag):
    actions = []
    for build, _ in COMMANDS.values():
        parser = argparse.ArgumentParser()
        build(parser)
        actions += [action for action in parser._actions if flag in action.option_strings]
    assert len(actions) > 1
    assert len({(type(action), action.type, action.nargs) for action in actions}) == 1


def test_help_imports_no_framework():
    program = (
        "import argparse, sys\nfrom lbwdet.cli import COMMANDS\n"
        "for build, _ in COMMANDS.values():\n"
        "    parser = argparse.ArgumentParser()\n    build(parser)\n    parser.format_help()\n"
        "print([m for m in ('torch', 'mmdet', 'mmengine', 'numpy') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout == "[]\n", run.stderr


# How it ends where somebody else ends it


def run_into_a_closed_pipe(*program: str) -> subprocess.CompletedProcess[str]:
    """As in ``lbwdet ... | head``, when head has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.run(
            [sys.executable, *program], stdout=writer, stderr=subprocess.PIPE, text=True
        )
    finally:
        os.close(writer)


@pytest.mark.parametrize("arguments", [["inspect", ARTIFACT], ["inspect", ARTIFACT, "--json"]])
@pytest.mark.parametrize("buffering", [[], ["-u"]])
def test_nobody_reads_the_output(arguments, buffering):
    run = run_into_a_closed_pipe(*buffering, "-m", "lbwdet.cli", *arguments)
    assert (run.returncode, run.stderr) == (141, "")


def test_nobody_reads_the_help():
    run = run_into_a_closed_pipe("-m", "lbwdet.cli", "--help")
    assert run.returncode in (0, 141) and run.stderr == ""  # argparse may swallow it


def test_nobody_reads_the_log():
    program = (
        "import logging, sys, lbwdet.cli\n"
        "def run(args):\n"
        "    logging.basicConfig(stream=sys.stdout, level=logging.INFO)\n"
        "    while True:\n        logging.info('and so on')\n"
        "lbwdet.cli.COMMANDS = {'log': (lambda parser: run, 'logs')}\n"
        "sys.exit(lbwdet.cli.main(['log']))"
    )
    run = run_into_a_closed_pipe("-c", program)
    assert (run.returncode, run.stderr) == (141, "")


def test_other_mistakes_in_logging_are_reported(capsys):
    main(["inspect", ARTIFACT])
    logging.StreamHandler().handle(logging.makeLogRecord(dict(msg="%d", args=("word",))))
    assert "Logging error" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_an_interrupt_is_one_line(name, monkeypatch, capsys):
    def run(args):
        raise KeyboardInterrupt

    monkeypatch.setitem(COMMANDS, name, (lambda parser: run, "waits"))
    assert main([name]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_ctrl_c():
    program = (
        "import signal, sys, time, lbwdet.cli\n"
        # What a shell starts in the background ignores interrupts, these tests among it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def run(args):\n"
        "    print('begun', flush=True)\n    time.sleep(60)\n"
        "lbwdet.cli.COMMANDS = {'wait': (lambda parser: run, 'waits')}\n"
        "sys.exit(lbwdet.cli.main(['wait']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate() == ("", "interrupted\n")
    assert process.returncode == 130
