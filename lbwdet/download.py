"""Files from the web: whole or not at all, within limits on time and size."""

import contextlib
import hashlib
import http.client
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lbwdet.errors import CheckpointError
from lbwdet.files import atomic_write
from lbwdet.progress import Progress
from lbwdet.terminal import printable

MAX_BYTES = 4 << 30  # of a file; the largest in MMDetection's zoo have 3
SILENCE = 30.0  # seconds that a server may say nothing
LONGEST = 3600.0  # seconds for a file
_CHUNK = 1 << 20


def download(url: str, folder: Path, progress: bool = True) -> Path:
    """The file of a URL, fetched unless it is in the folder already.

    A name that ends in its content's hash (``resnet50-0676ba61.pth``), as in the model zoos, is
    kept as it is, where torch looks for it, too; any other, and one whose hash is another, gets
    the URL's in front: two URLs that end in the same name are two files.

    Raises:
        CheckpointError: it cannot be fetched, is cut off, or beyond ``MAX_BYTES``, ``SILENCE`` or
            ``LONGEST``. Nothing is left in the folder then.
    """
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError as error:
        raise CheckpointError(f"{url}: cannot be fetched: {error}") from error
    if parts.scheme not in ("http", "https"):
        raise CheckpointError(f"{url}: only http and https are fetched")
    name = Path(parts.path).name or "checkpoint"
    wanted = re.search(r"-([0-9a-f]{8,64})\.", name)
    own = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:8]}-{name}"
    shared = folder / name if wanted else own
    for path in (shared, own):
        if path.is_file():
            return path
    digest = hashlib.sha256()
    with atomic_write(own) as temporary, temporary.open("wb") as file:
        for piece in _pieces(url, progress):
            digest.update(piece)
            file.write(piece)
    if wanted and digest.hexdigest().startswith(wanted[1]):
        with contextlib.suppress(FileNotFoundError):  # another process has just done it
            own.replace(shared)
        return shared
    return own


def _pieces(url: str, progress: bool) -> Iterator[bytes]:
    """What the server sends, piece by piece."""
    started, size = time.monotonic(), 0
    request = urllib.request.Request(url, headers={"User-Agent": "lbwdet"})
    try:
        with urllib.request.urlopen(request, timeout=SILENCE) as answer:
            announced = _announced(answer)
            _check_size(url, announced or 0)
            with Progress(f"fetch {printable(url)} (MiB)", (announced or 0) >> 20) as bar:
                while piece := answer.read1(_CHUNK):
                    size += len(piece)
                    _check_size(url, size)
                    if time.monotonic() - started > LONGEST:
                        raise CheckpointError(
                            f"{url}: not fetched within {LONGEST:g} s ({size:,} bytes came); "
                            "fetch it by other means and give its path"
                        )
                    if progress and bar.total:
                        bar.reach(size >> 20)
                    yield piece
    except TimeoutError as error:
        raise CheckpointError(
            f"{url}: the server has said nothing for {SILENCE:g} s; try again, or fetch the file "
            "by other means and give its path"
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = str(getattr(error, "reason", None) or error or type(error).__name__)
        raise CheckpointError(f"{url}: cannot be fetched: {reason.splitlines()[0]}") from error
    if announced is not None and size != announced:
        raise CheckpointError(f"{url}: cut off: {size:,} of {announced:,} bytes came; try again")


def _announced(answer: Any) -> int | None:
    """How many bytes the server says that it will send, if it does."""
    length = answer.headers.get("Content-Length", "")
    return int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None


def _check_size(url: str, size: int) -> None:
    if size > MAX_BYTES:
        raise CheckpointError(
            f"{url}: has {size:,} bytes or more, at most {MAX_BYTES:,} are fetched; fetch it by "
            "other means and give its path"
        )
