"""The whole command, as a process of its own."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

from lbwdet.cli import main
from tests.serving.conftest import FILE, PATIENCE, Served, needs_engine, wait_until

pytestmark = needs_engine


@contextmanager
def process(*arguments):
    command = [sys.executable, "-m", "lbwdet.cli", "serve", *map(str, arguments), "--port", "0"]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with subprocess.Popen(command, env={**os.environ}, **pipes) as running:
        try:
            line = running.stdout.readline()
            found = re.match(r"http://127\.0\.0\.1:(\d+): tiny\.lbw, \w+, workers: ", line)
            assert found, line + running.stderr.read()
            yield running, Served(int(found[1]), None)
        finally:
            running.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_answers_what_has_come(artifact_path, number):
    with process(artifact_path, "--threads", "1", "--no-page") as (running, served):
        # In the house, with half of their bodies: they cannot have been answered before the stop.
        clients = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(5)]
        head = b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(FILE)
        for client in clients:
            client.settimeout(PATIENCE)
            client.sendall(head + FILE[:100])
        served.wait_for("lbwdet_places_taken", 5)
        assert served.ask("/").status == 404  # no page was asked for
        running.send_signal(number)
        wait_until(lambda: not reachable(served.port))
        assert running.poll() is None
        for client in clients:
            client.sendall(FILE[100:])
        for client in clients:
            response = http.client.HTTPResponse(client)
            response.begin()
            assert response.status == 200 and b'"detections":[' in response.read()
            client.close()
        out, errors = running.communicate(timeout=PATIENCE)
        assert (running.returncode, out, errors) == (0, "stopped\n", "")


def reachable(port):
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
    except ConnectionError:
        return False
    return True


def test_needs_no_training_framework(artifact_path):
    program = (
        "import sys; from lbwdet.cli import parse; import lbwdet.serving.serve;"
        "assert not {'torch', 'mmengine', 'cv2', 'matplotlib'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_bad_starts_end_in_one_sentence(artifact_path, tmp_path, capsys):
    damaged = tmp_path / "damaged.lbw"
    damaged.write_bytes(artifact_path.read_bytes()[:-100])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for line, message in (
            ([tmp_path / "missing.lbw"], "missing.lbw"),
            ([damaged], "damaged.lbw"),
            ([artifact_path, "--port", port], f"127.0.0.1:{port}: cannot listen there"),
            ([artifact_path, "--page", tmp_path], "run 'make web'"),
            ([artifact_path, "--workers", "9999"], "workers=9999: give 1 to "),
            ([artifact_path, "--timeout", "-1"], "timeout=-1.0: give "),
        ):
            assert main(["serve", *map(str, line)]) == 2
            error = capsys.readouterr().err
            assert error.startswith("error: ") and message in error and error.count("\n") == 1


def test_a_missing_extra_is_named(artifact_path):
    program = (
        "import sys; sys.modules['uvicorn'] = None; from lbwdet.cli import main;"
        "sys.exit(main(['serve', sys.argv[1]]))"
    )
    command = [sys.executable, "-c", program, str(artifact_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr == (
        "error: this command needs uvicorn, which is not installed: pip install 'lbwdet[serve]'\n"
    )
