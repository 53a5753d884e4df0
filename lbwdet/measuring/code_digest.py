"""A digest of source files: results kept on disk are only good for the code that made them."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from lbwdet.errors import LBWError

PACKAGE = Path(__file__).resolve().parents[1]
SOURCES = {".py", ".cpp", ".h", ".inl", ".inc"}


def code_digest(rooms: Sequence[str], package: Path = PACKAGE) -> str:
    """Hex digest of all source files in ``rooms``, by name and content.

    Args:
        rooms: folders and files of the package, relative to it.
        package: its folder.

    Raises:
        LBWError: one of ``rooms`` has no source file: its code would decide unseen.
    """
    digest = hashlib.sha256()
    for room in rooms:
        files = source_files(package / room)
        if not files:
            raise LBWError(
                f"{room}: no source file there in {package}, although results depend on its code; "
                "correct the list of rooms that this name stands in"
            )
        for path in files:
            digest.update(path.relative_to(package).as_posix().encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def source_files(place: Path) -> list[Path]:
    """The source files below a folder, in order, or the file itself."""
    found = [place] if place.is_file() else place.rglob("*")
    return sorted(path for path in found if path.suffix in SOURCES and path.is_file())
