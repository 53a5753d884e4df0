"""A server under load, on this machine alone: docs/results/serve.json.

Starts ``lbwdet serve`` on a free port of 127.0.0.1. First one client, in turn with direct calls of
the detector on the same images; then more clients than the server has places for: images of many
sizes and formats, raw, in forms and in JSON, some broken or too large, and clients that leave in
the middle. Every answer is held against the direct call's, byte by byte.

Example:
    python benchmarks/serve_load.py nano4.lbw --images IMAGES --out docs/results/serve.json
"""

import argparse
import base64
import http.client
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lbwdet.deploy.runtime.detector import Detector
from lbwdet.deploy.testing import random_image
from lbwdet.errors import DataError
from lbwdet.files import write_json
from lbwdet.images import decode_image, find_images
from lbwdet.measuring.environment import available_cpus, commit, cpu_name
from lbwdet.serving.answers import image_json
from lbwdet.studies.serve_report import markdown
from lbwdet.terminal import run_command

PATIENCE = 120.0  # seconds for an answer; none takes so long
SIZES = ((48, 64), (37, 900), (240, 320), (375, 500), (480, 640), (720, 1280), (1080, 1920))
FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
SCORE = 0.3
MAX_BYTES, MAX_PIXELS = 4 << 20, 1 << 22
BROKEN, LEAVING = 0.2, 0.02  # shares of the requests
FLAT = 0.05  # by which memory may grow, as a share
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n',
    b"\r\n--b--\r\n",
)


@dataclass(frozen=True)
class Case:
    """A request, and the answer that it must get.

    Attributes:
        kind: for counting.
        body, content_type, path: of the request.
        status: of the answer.
        answer: its bytes; None: a sentence, whichever.
        file: the image file in it; empty: none that could be looked at directly.
    """

    kind: str
    body: bytes
    content_type: str
    status: int
    answer: bytes | None = None
    file: bytes = b""
    path: str = "/detect"


@dataclass
class Tally:
    """What clients met, all of them together.

    Attributes:
        statuses: of answers, by number; those to clients that left are not known.
        kinds: cases that were answered, by kind.
        seconds: of each answer with boxes.
        wrong: answers that were not the expected ones, a sentence each.
        lost: requests without an answer, a sentence each.
        left: requests whose client left.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    left: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def direct_answer(detector: Detector, file: bytes) -> bytes:
    """What the server must say, without a server."""
    image = decode_image(io.BytesIO(file))
    return image_json((image.shape[0], image.shape[1]), detector(image).above(SCORE))


def good_cases(detector: Detector, files: Sequence[bytes]) -> list[Case]:
    """Each file in one of the three ways that it may come in."""
    cases = []
    for index, file in enumerate(files):
        text = base64.b64encode(file)
        ways = (
            ("raw", file, "application/octet-stream"),
            ("form", file.join(FORM), "multipart/form-data; boundary=b"),
            ("json", b'{"image": "%s"}' % text, "application/json"),
        )
        kind, body, content_type = ways[index % len(ways)]
        cases.append(Case(kind, body, content_type, 200, direct_answer(detector, file), file))
    return cases


def broken_cases(file: bytes) -> list[Case]:
    """Of every kind that a server must refuse."""
    raw, form, as_json = "image/jpeg", "multipart/form-data; boundary=b", "application/json"
    return [
        Case("empty", b"", raw, 400),
        Case("truncated", file[: len(file) // 2], raw, 400),
        Case("damaged", file[:700] + bytes(400) + file[1100 : len(file) // 2], raw, 400),
        Case("noise", random.Random(0).randbytes(5000), raw, 415),
        Case("other format", b"GIF89a" + bytes(100), "image/gif", 415),
        Case("other type", file, "text/html", 415),
        Case("form without a file", FORM[1], form, 400),
        Case("no JSON", b'{"image": ', as_json, 400),
        Case("no base64", b'{"image": "?"}', as_json, 400),
        Case("too many pixels", png_of_zeros(30_000, 30_000), raw, 413),
        Case("too many bytes", bytes(MAX_BYTES + 1), raw, 413),
        Case("no threshold", file, raw, 422, path="/detect?score=2"),
    ]


def png_of_zeros(width: int, height: int) -> bytes:
    """A small file that says that it is a large image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return len(data).to_bytes(4, "big") + kind + data + check.to_bytes(4, "big")

    sides = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    header = chunk(b"IHDR", sides + bytes([8, 2, 0, 0, 0]))
    data = chunk(b"IDAT", zlib.compress(bytes(1 << 16)))
    return b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b"")


def files_of(folder: str | None) -> list[bytes]:
    """Drawn images of all sizes and formats, and photographs of a folder."""
    files = []
    for index, (height, width) in enumerate(SIZES):
        image = Image.fromarray(random_image(index, height, width)[..., ::-1].copy())
        for kind in FORMATS:
            buffer = io.BytesIO()
            image.save(buffer, kind)
            files.append(buffer.getvalue())
    photographs = find_images(folder)[:32] if folder else []
    files += [path.read_bytes() for path in photographs]
    return [file for file in files if len(base64.b64encode(file)) < MAX_BYTES - 1000]


@contextmanager
def server(model: str, workers: int, threads: int) -> Iterator[tuple[int, int]]:
    """Its process and its port; a stop by SIGTERM must be a clean one.

    Raises:
        DataError: it did not begin, or not end, as it should.
    """
    command = [sys.executable, "-m", "lbwdet.cli", "serve", model, "--port", "0", "--no-page"]
    command += ["--workers", str(workers), "--threads", str(threads), "--score-thr", str(SCORE)]
    command += ["--max-bytes", str(MAX_BYTES), "--max-pixels", str(MAX_PIXELS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if (found := re.match(r"http://127\.0\.0\.1:(\d+): ", line)) is None:
                raise DataError(f"the server did not begin: {line}")
            yield process.pid, int(found[1])
            process.send_signal(signal.SIGTERM)
            rest, code = process.stdout.read(), process.wait(PATIENCE)
            if (rest, code) != ("stopped\n", 0):
                raise DataError(f"the server ended with {code}: {rest}")
        finally:
            process.kill()


class Client:
    """Asks for one case after the other.

    Args:
        port: of the server.
        tally: what it met.
        keep: whether it asks again on the same connection.
    """

    def __init__(self, port: int, tally: Tally, keep: bool = True) -> None:
        self._port, self._tally, self._keep = port, tally, keep
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, case: Case) -> None:
        """Until it is answered; where the house is full, after as long as the server says."""
        while (wait := self._try(case)) > 0:
            self.close()  # or the server would, meanwhile
            time.sleep(wait)

    def leave(self, case: Case) -> None:
        """Sends half of the request, or all of it, and hangs up."""
        self.close()
        connection = self._open()
        connection.putrequest("POST", case.path)
        connection.putheader("Content-Type", case.content_type)
        connection.putheader("Content-Length", str(len(case.body)))
        connection.endheaders()
        half = len(case.body) // 2
        connection.send(case.body[: half if self._tally.left % 2 else None])
        with self._tally.lock:
            self._tally.left += 1
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> http.client.HTTPConnection:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        return self._connection

    def _try(self, case: Case) -> float:
        start = time.perf_counter()
        try:
            connection = self._open()
            headers = {"Content-Type": case.content_type}
            connection.request("POST", case.path, case.body, headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            with self._tally.lock:
                self._tally.lost.append(f"{case.kind}: {type(error).__name__}: {error}")
            return 0
        seconds = time.perf_counter() - start
        if not self._keep:
            self.close()
        with self._tally.lock:
            self._tally.statuses[response.status] += 1
            if response.status == 429:
                return float(response.headers["Retry-After"])
            self._tally.kinds[case.kind] += 1
            if response.status == 200:
                self._tally.seconds.append(seconds)
            expected = case.answer if case.answer is not None else body
            if (response.status, body) != (case.status, expected) or not json.loads(body):
                self._tally.wrong.append(f"{case.kind}: {response.status} {body[:200]!r}")
        return 0


def in_turn(
    detector: Detector, client: Client, cases: Sequence[Case], seconds: float
) -> list[float]:
    """One client and direct calls, image by image; the seconds of the latter."""
    end, direct = time.monotonic() + seconds, list[float]()
    while time.monotonic() < end:
        for case in cases:
            client.ask(case)
            start = time.perf_counter()
            direct_answer(detector, case.file)
            direct.append(time.perf_counter() - start)
    return direct


def load(
    port: int, good: Sequence[Case], broken: Sequence[Case], clients: int, seconds: float
) -> Tally:
    """Many clients at once, each with a random order of its own."""
    tally, end = Tally(), time.monotonic() + seconds

    def work(number: int) -> None:
        choose, client = random.Random(number), Client(port, tally, keep=number % 2 == 0)
        while time.monotonic() < end:
            if choose.random() < LEAVING:
                client.leave(choose.choice(good))
            else:
                client.ask(choose.choice(broken if choose.random() < BROKEN else good))
        client.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally


@contextmanager
def memory_of(process: int, seconds: float) -> Iterator[list[int]]:
    """Bytes that the process has in memory, looked at some hundred times while the block lasts."""
    found, ended = list[int](), threading.Event()

    def look() -> None:
        while not ended.wait(seconds / 100):
            status = Path(f"/proc/{process}/status").read_text()
            found.append(1024 * int(re.search(r"VmRSS:\s+(\d+)", status)[1]))  # type: ignore[index]

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def counted(port: int) -> Counter[int]:
    """Answers by status, as the server's own metrics have them."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    pairs = re.findall(r'^lbwdet_requests_total\{status="(\d+)"\} (\S+)$', text, re.M)
    return Counter({int(status): int(float(number)) for status, number in pairs})


def latency(seconds: Sequence[float]) -> dict[str, float]:
    p50, p99 = np.percentile(seconds, (50, 99)) * 1000
    return dict(
        p50_ms=round(p50, 2),
        p99_ms=round(p99, 2),
        mean_ms=round(1000 * float(np.mean(seconds)), 2),
        count=len(seconds),
    )


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything, as JSON has it.

    Raises:
        DataError: an answer was lost or wrong, or memory grew.
    """
    files = files_of(args.images)
    detector = Detector(args.model, threads=args.threads)
    good, broken = good_cases(detector, files), broken_cases(files[0])
    before = os.getloadavg()[0]
    with server(args.model, args.workers, args.threads) as (process, port):
        alone = Tally()
        direct = in_turn(detector, Client(port, alone), good, args.seconds / 5)
        with memory_of(process, args.seconds) as memory:
            loaded = load(port, good, broken, args.clients, args.seconds)
        time.sleep(1)  # for those who left to be counted
        statuses = counted(port)
    met = alone.statuses + loaded.statuses
    quarters = [int(np.median(part)) for part in np.array_split(np.array(memory), 4)]
    growth = quarters[3] / quarters[1] - 1
    problems = [*alone.lost, *loaded.lost, *alone.wrong, *loaded.wrong]
    # A threshold is refused before the rest is looked at. Answers to those who left come on top.
    unseen = {status: n for status, n in met.items() if status != 422 and statuses[status] < n}
    if unseen or statuses.total() != met.total() - met[422] + loaded.left:
        problems.append(f"the server counted {dict(statuses)}, its clients {dict(met)}")
    if growth > FLAT:
        problems.append(f"memory grew by {growth:.1%}")
    if problems:
        raise DataError(f"{len(problems)} problems, the first: {problems[0]}")
    return dict(
        study="serve",
        model=Path(args.model).name,
        commit=commit(),
        cpu=cpu_name(),
        cores=available_cpus(),
        machine_load=[round(before, 2), round(os.getloadavg()[0], 2)],
        workers=args.workers,
        threads=args.threads,
        clients=args.clients,
        seconds=args.seconds,
        images=len(good),
        largest_image=list(max(SIZES)),
        direct=latency(direct),
        alone=latency(alone.seconds),
        loaded=latency(loaded.seconds),
        images_per_second=round(len(loaded.seconds) / args.seconds, 2),
        statuses={str(status): loaded.statuses[status] for status in sorted(loaded.statuses)},
        kinds=dict(sorted(loaded.kinds.items())),
        left=loaded.left,
        lost=len(loaded.lost),
        wrong=len(loaded.wrong),
        memory=dict(quarters=quarters, peak=max(memory), growth=round(growth, 4)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("model", metavar="MODEL.lbw")
    parser.add_argument("--images", metavar="FOLDER", help="photographs, besides drawn images")
    parser.add_argument("--seconds", type=float, default=600, help="of load [%(default)s]")
    parser.add_argument("--workers", type=int, default=1, help="[%(default)s]")
    parser.add_argument("--threads", type=int, default=1, help="of each worker [%(default)s]")
    parser.add_argument("--clients", type=int, default=20, help="[%(default)s]")
    parser.add_argument("--out", metavar="FILE.json", required=True)
    args = parser.parse_args()
    result = measure(args)
    write_json(args.out, result)
    print(markdown(result))


if __name__ == "__main__":
    sys.exit(run_command(main))
