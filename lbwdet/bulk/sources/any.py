"""Any source, by what is there."""

import glob
import os
from collections.abc import Callable
from pathlib import Path

from lbwdet.bulk.listing import Listing
from lbwdet.bulk.sources.files import list_folder, list_image, list_lines
from lbwdet.bulk.sources.parquet import list_parquet
from lbwdet.bulk.sources.tars import list_tars
from lbwdet.bulk.sources.video import list_frames
from lbwdet.errors import ConfigError, DataError
from lbwdet.images import SUFFIXES
from lbwdet.videos import is_video

KINDS = (
    "a folder of images, an image, a list of paths (.txt), Parquet (.parquet, a folder of such), "
    "tar files (.tar, a folder of such, or a pattern like 'train-*.tar'), or a video"
)
_LISTS = (".txt", ".lst", ".list")
_TAR, _PARQUET = ".tar", ".parquet"


def list_source(source: str | os.PathLike[str], size: int, column: str | None = None) -> Listing:
    """Cuts whatever ``source`` names into shards of up to ``size`` images.

    Args:
        source: one of ``KINDS``.
        column: of Parquet files.

    Raises:
        DataError: nothing is there, or nothing that can be read.
        ConfigError: ``column`` is given, but this is not Parquet.
    """
    path = Path(source)
    listing = _list(path, size, column)
    if column is not None and listing.kind != "parquet":
        raise ConfigError(f"--column {column}: {source} is no Parquet; leave it out")
    return listing


def _list(path: Path, size: int, column: str | None) -> Listing:
    if path.is_dir():
        return _list_folder(path, size, column)
    if not path.exists():
        names = sorted(glob.glob(os.fspath(path)))
        if names and {Path(name).suffix.lower() for name in names} == {_TAR}:
            folder = Path(os.path.commonpath([os.path.dirname(name) or "." for name in names]))
            return list_tars(folder, [os.path.relpath(name, folder) for name in names], size)
        raise DataError(f"{path}: there is no such file or folder; a source is {KINDS}")
    suffix = path.suffix.lower()
    if suffix == _PARQUET:
        return list_parquet(path.parent, [path.name], size, column)
    if suffix == _TAR:
        return list_tars(path.parent, [path.name], size)
    if is_video(path):
        return list_frames(path, size)
    lists: Callable[[Path, int], Listing] | None = (
        list_lines if suffix in _LISTS else list_image if suffix in SUFFIXES else None
    )
    if lists is None:
        raise DataError(f"{path}: a file of no kind that is read here; a source is {KINDS}")
    return lists(path, size)


def _list_folder(path: Path, size: int, column: str | None) -> Listing:
    files = sorted(entry.name for entry in os.scandir(path) if entry.is_file())
    tars = [name for name in files if name.lower().endswith(_TAR)]
    tables = [name for name in files if name.lower().endswith(_PARQUET) and name[0] not in "._"]
    images = list_folder(path, size)
    if (images is not None) + bool(tars) + bool(tables) > 1:
        raise DataError(
            f"{path}: images, tar files or Parquet files side by side; name one kind of them"
        )
    if images is not None:
        return images
    if tars:
        return list_tars(path, tars, size)
    if tables:
        return list_parquet(path, tables, size, column)
    raise DataError(f"{path}: nothing to look at in this folder; a source is {KINDS}")
