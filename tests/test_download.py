"""Downloads: whole or not at all, whatever the server does."""

import hashlib
import http.server
import threading
import time

import pytest

from lbwdet import download as module
from lbwdet.download import download
from lbwdet.errors import CheckpointError

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def server():
    """A server whose answer a test sets; ``asked`` are the paths that it was asked for."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append(self.path)
            server.answer(self)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked, server.answer = [], whole
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def begin(handler, length):
    handler.send_response(200)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()


def whole(handler):
    begin(handler, len(CONTENT))
    handler.wfile.write(CONTENT)


def cut_off(handler):
    begin(handler, 2 * len(CONTENT))
    handler.wfile.write(CONTENT)


def silent(handler):
    begin(handler, len(CONTENT))
    time.sleep(1)


def drop_by_drop(handler):
    begin(handler, 10 * len(CONTENT))
    for _ in range(40):
        handler.wfile.write(b"x")
        time.sleep(0.05)


def huge(handler):
    begin(handler, 1 << 40)


def endless(handler):
    begin(handler, None)
    for _ in range(1000):
        handler.wfile.write(CONTENT)


def elsewhere(handler):
    handler.send_response(302)
    handler.send_header("Location", "file:///etc/hostname")
    handler.end_headers()


def missing(handler):
    handler.send_error(404)


def test_it_is_fetched_once(server, tmp_path):
    first = download(f"{server.url}/epoch_12.pth", tmp_path)
    assert first.read_bytes() == CONTENT and first.name.endswith("-epoch_12.pth")
    assert download(f"{server.url}/epoch_12.pth", tmp_path) == first
    other = download(f"{server.url}/other/epoch_12.pth", tmp_path)
    assert other != first and server.asked == ["/epoch_12.pth", "/other/epoch_12.pth"]


def test_a_name_that_is_the_contents_hash_is_kept(server, tmp_path):
    name = f"detector-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"
    assert download(f"{server.url}/{name}", tmp_path) == tmp_path / name
    download(f"http://elsewhere.invalid/{name}", tmp_path)  # is there already
    assert server.asked == [f"/{name}"]


def test_a_hash_that_is_another_does_not_stand_for_the_real_file(server, tmp_path):
    found = download(f"{server.url}/detector-0123abcd.pth", tmp_path)
    assert found.name.endswith("-detector-0123abcd.pth") and found.name != "detector-0123abcd.pth"
    assert download(f"{server.url}/detector-0123abcd.pth", tmp_path) == found
    assert list(tmp_path.iterdir()) == [found]
    with pytest.raises(CheckpointError, match="cannot be fetched"):
        download("http://127.0.0.1:9/detector-0123abcd.pth", tmp_path)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (cut_off, r"/a\.pth: cut off: 10,240 of 20,480 bytes came; try again$"),
        (silent, r"/a\.pth: the server has said nothing for 0\.2 s; try again, or fetch"),
        (drop_by_drop, r"/a\.pth: not fetched within 0\.5 s \(\d+ bytes came\); fetch it by"),
        (huge, r"/a\.pth: has 1,099,511,627,776 bytes or more, at most 1,000,000 are fetched"),
        (endless, r"/a\.pth: has 1,\d+,\d+ bytes or more, at most 1,000,000 are fetched"),
        (elsewhere, r"/a\.pth: cannot be fetched: "),
        (missing, r"/a\.pth: cannot be fetched: Not Found$"),
    ],
)
def test_what_is_not_whole_is_not_there(server, tmp_path, monkeypatch, answer, message):
    monkeypatch.setattr(module, "SILENCE", 0.2)
    monkeypatch.setattr(module, "LONGEST", 0.5)
    monkeypatch.setattr(module, "MAX_BYTES", 1_000_000)
    server.answer = answer
    with pytest.raises(CheckpointError, match=message) as caught:
        download(f"{server.url}/a.pth", tmp_path)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1:9/a.pth", "http://[::"])
def test_other_ways_are_not_taken(tmp_path, url):
    with pytest.raises(CheckpointError, match=r"only http and https|cannot be fetched"):
        download(url, tmp_path)
    assert not list(tmp_path.iterdir())
