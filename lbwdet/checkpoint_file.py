"""The one door through which the bytes of a checkpoint become objects."""

import io
import pickle
import urllib.parse
import zipfile
from pathlib import Path
from typing import IO, Any

import torch
from mmengine.fileio import get_file_backend

from lbwdet.download import download
from lbwdet.errors import CheckpointError, LBWError, first_line

LISTED_FILES = 8
_ZIP_START = b"PK\x03\x04"
_CHUNK = 1 << 20
_FOLDER_BIT = 0x10  # in MS-DOS's attributes: torch then reads nothing, and leaves memory as it was


def load(name: str | Path, map_location: Any = "cpu") -> Any:
    """The content of a checkpoint, wherever it comes from, without running code in it.

    Args:
        name: a path, or a URL of any scheme that MMEngine knows (``https://``, ``s3://``,
            ``torchvision://``, ...). What ``http`` brings is kept in torch's folder of
            downloads.
        map_location: as of ``torch.load``.

    Raises:
        CheckpointError: it is missing, cannot be fetched, is truncated or damaged, or
            holds Python objects.
    """
    text = str(name)
    if text.startswith("file://"):
        text = urllib.parse.unquote(urllib.parse.urlsplit(text).path)
    if "://" not in text:
        return _load_local(text, map_location)
    close_other_doors()
    from mmengine.runner import CheckpointLoader

    try:
        return CheckpointLoader.load_checkpoint(text, map_location)
    except LBWError:
        raise
    except Exception as error:  # of any library that fetches files
        raise CheckpointError(f"{text}: cannot be fetched: {first_line(error)}") from error


def close_other_doors() -> None:
    """Has MMEngine load every checkpoint, of a run or of ``init_cfg``, through :func:`load`.

    Its own way for ``http`` unpickles whatever the file holds.
    """
    # Not at the top: it imports half of MMEngine, and OpenCV.
    from mmengine.runner import CheckpointLoader, checkpoint

    checkpoint.load_url = _load_url
    CheckpointLoader.register_scheme(prefixes="", loader=load_from_local, force=True)
    CheckpointLoader.register_scheme(
        prefixes=[r"(\S+\:)?s3://", r"(\S+\:)?petrel://"], loader=load_from_ceph, force=True
    )


# Named as MMEngine's are: it logs which of them it has used.


def load_from_local(filename: str, map_location: Any = None) -> Any:
    return load(filename, map_location)


def load_from_ceph(filename: str, map_location: Any = None) -> Any:
    content: bytes = get_file_backend(filename, backend_args={"backend": "petrel"}).get(filename)
    return _load_open(io.BytesIO(content), filename, map_location)


def _load_url(
    url: str, model_dir: str | None = None, map_location: Any = None, progress: bool = True
) -> Any:
    folder = Path(model_dir or Path(torch.hub.get_dir()) / "checkpoints")
    return _load_local(download(url, folder, progress), map_location)


def _load_local(name: str | Path, map_location: Any) -> Any:
    path = Path(name).expanduser()
    if not path.is_file():
        beside = sorted(entry.name for entry in path.parent.glob("[!.]*.pth"))
        hint = f"; this folder has {', '.join(beside[:LISTED_FILES])}" if beside else ""
        raise CheckpointError(f"{path}: no such checkpoint{hint}")
    with path.open("rb") as file:
        return _load_open(file, path, map_location)


def _load_open(file: IO[bytes], name: str | Path, map_location: Any) -> Any:
    size = file.seek(0, io.SEEK_END)
    if size == 0:
        raise CheckpointError(f"{name}: the checkpoint is empty (0 bytes); train or copy it again")
    try:
        _check_sums(file, size)
        file.seek(0)
        return torch.load(file, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{name}: not a checkpoint, or one with Python objects in it that are refused because "
            f"unpickling them could run code ({first_line(error)})"
        ) from error
    except Exception as error:  # torch's readers raise many types on foreign bytes
        raise CheckpointError(
            f"{name}: the checkpoint is truncated or corrupt ({size:,} bytes; "
            f"{first_line(error)}); copy it again or use an earlier one"
        ) from error


def _check_sums(file: IO[bytes], size: int) -> None:
    """Compares each record with its sum: torch reads a changed weight without a word.

    Files older than the archive format of torch 1.6 have no sums.
    """
    file.seek(0)
    if file.read(4) != _ZIP_START:
        return
    with zipfile.ZipFile(file) as archive:
        records = archive.infolist()
        if sum(record.file_size for record in records) > size:
            raise zipfile.BadZipFile("its records would be larger than the file")
        if not any(record.CRC for record in records):
            return  # written without: torch.serialization.set_crc32_options(False)
        for record in records:
            if record.external_attr & _FOLDER_BIT:
                raise zipfile.BadZipFile(f"{record.filename} is marked as a folder")
            with archive.open(record) as content:  # which compares with record.CRC at the end
                while content.read(_CHUNK):
                    pass
