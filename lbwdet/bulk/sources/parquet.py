"""Images in a column of Parquet files: their bytes, or their paths."""

import functools
import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from lbwdet.bulk.listing import Array, Entry, Listing, Shard, cut, digest_of, fitting
from lbwdet.bulk.rows import opened
from lbwdet.errors import DataError, first_line
from lbwdet.images import decode_image, read_image

_ROWS = 16  # read at a time: images are large
_DEFAULT = "image"


@dataclass(frozen=True)
class ParquetReader:
    """Rows of Parquet files, by file and number.

    Attributes:
        folder: that paths are relative to.
        column: with bytes, with paths, or with both as ``datasets`` writes them.
    """

    folder: str
    column: str

    def entries(self, shard: Shard) -> Iterator[Entry]:
        name, first = shard.where
        path = os.path.join(self.folder, name)
        number = 0
        try:
            for row, value in self._values(path, first, shard.count):
                yield Entry(f"{name}#{row}", functools.partial(self._load, value, f"{name}#{row}"))
                number += 1
        except (pa.ArrowException, OSError) as error:  # of a page; the footer was whole
            raise DataError(f"{path}: damaged: {first_line(error)}") from error
        fitting(number, shard, name)

    def _values(self, path: str, first: int, count: int) -> Iterator[tuple[int, Any]]:
        """Number and value of each row; only row groups that hold some of them are read."""
        with opened(path) as file:
            begin = 0
            for index in range(file.num_row_groups):
                rows = file.metadata.row_group(index).num_rows
                if begin < first + count and first < begin + rows:
                    row = begin
                    for batch in file.iter_batches(_ROWS, [index], [self.column]):
                        skip = min(max(first - row, 0), len(batch))
                        take = min(first + count - row, len(batch)) - skip
                        for place, value in enumerate(batch.column(0).slice(skip, max(take, 0))):
                            yield row + skip + place, value.as_py()
                        row += len(batch)
                        if row >= first + count:
                            return
                begin += rows

    def _load(self, value: Any, name: str) -> Array:
        data, path = value, None
        if isinstance(value, dict):
            data, path = value.get("bytes"), value.get("path")
        elif isinstance(value, str):
            data, path = None, value
        if data is not None:
            return decode_image(io.BytesIO(data), name)
        if path is not None:
            return read_image(os.path.join(self.folder, path))
        raise DataError(f"{name}: no image in this row")


def list_parquet(folder: Path, names: Sequence[str], size: int, column: str | None) -> Listing:
    """The rows of Parquet files.

    Args:
        folder: of the files, and of paths in them.
        names: of the files.
        column: None: 'image', or the only column of bytes.

    Raises:
        DataError: a file cannot be read, or has no such column.
    """
    parts: list[tuple[int, Callable[[int, int], tuple[Any, ...]]]] = []
    for name in names:
        with opened(folder / name) as file:
            column = _column(folder / name, file.schema_arrow, column)
            rows = file.metadata.num_rows
        parts.append((rows, functools.partial(_where, name)))
    shards = cut(size, parts)
    if not shards or column is None:
        raise DataError(f"{folder / names[0]}: no rows, so there is no image to look at")
    digest = digest_of((name, folder / name) for name in names)
    reader = ParquetReader(os.path.abspath(folder), column)
    return Listing("parquet", reader, shards, f"{digest} {column}")


def _where(name: str, first: int, count: int) -> tuple[Any, ...]:
    return name, first


def _column(path: Path, schema: Any, asked: str | None) -> str:
    fields = {field.name: field.type for field in schema}
    if asked is None:
        holders = [name for name, kind in fields.items() if _is_bytes(kind)]
        asked = _DEFAULT if _DEFAULT in fields or len(holders) != 1 else holders[0]
    if asked in fields and (_is_bytes(fields[asked]) or _is_text(fields[asked])):
        return asked
    columns = ", ".join(f"{name} ({kind})" for name, kind in fields.items())
    what = "is neither bytes nor text" if asked in fields else "is not there"
    raise DataError(
        f"{path}: the column {asked!r} {what}; its columns are {columns}: name the one with the "
        "images' bytes or paths by --column"
    )


def _is_bytes(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _is_bytes(field.type) for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
