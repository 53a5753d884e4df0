"""What is said of each image, and the Parquet files that it stands in.

One row for each image, in the source's order:

====== ==================== ==============================================================
index  int64                number of the image in its source
image  string               its name: path, or file and row, member or frame
width  int32                of the image in pixels; null where it could not be used
height int32                likewise
boxes  list of 4 float32    x1, y1, x2, y2 in pixels of the image, best first; null likewise
labels list of int32        numbers of classes; null likewise
scores list of float32      0 to 1; null likewise
masks  list of string       of detectors with masks: COCO's text for the runs of each
error  string               why it could not be used; null where it could
====== ==================== ==============================================================
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lbwdet.bulk.listing import Array
from lbwdet.deploy.runtime.detector import DetectionResult
from lbwdet.errors import DataError, first_line
from lbwdet.files import atomic_write

Row = dict[str, Any]

KEY = b"lbwdet"  # of what the schema's metadata say, as JSON


def schema_of(facts: Mapping[str, Any], masks: bool) -> Any:
    """The columns, and in their metadata what all rows have in common.

    Args:
        facts: JSON values: the class names, the artifact's digest, the run.
        masks: whether the detector has some.
    """
    fields = [
        pa.field("index", pa.int64(), nullable=False),
        pa.field("image", pa.string(), nullable=False),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("boxes", pa.list_(pa.list_(pa.float32(), 4))),
        pa.field("labels", pa.list_(pa.int32())),
        pa.field("scores", pa.list_(pa.float32())),
        *([pa.field("masks", pa.list_(pa.string()))] if masks else []),
        pa.field("error", pa.string()),
    ]
    return pa.schema(fields, metadata={KEY: json.dumps(facts)})


def found_row(index: int, name: str, image: Array, found: DetectionResult) -> Row:
    """The row of an image that was looked at."""
    return dict(
        index=index,
        image=_text(name),
        width=image.shape[1],
        height=image.shape[0],
        boxes=found.boxes.tolist(),
        labels=found.labels.tolist(),
        scores=found.scores.tolist(),
        masks=None if found.masks is None else [mask.coco()["counts"] for mask in found.masks],
    )


def failed_row(index: int, name: str, reason: str) -> Row:
    """The row of an image that could not be used."""
    return dict(index=index, image=_text(name), error=_text(reason))


def write_rows(path: str | os.PathLike[str], rows: Sequence[Row], schema: Any) -> None:
    """Writes a Parquet file, whole or not at all."""
    table = pa.Table.from_pylist(rows, schema)
    with atomic_write(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_rows(paths: Iterable[Path]) -> Iterator[Row]:
    """All rows of several files, one file after the other."""
    for path in paths:
        with opened(path) as file:
            yield from file.read().to_pylist()


def count_failed(paths: Iterable[Path]) -> int:
    """The number of rows that say an error."""
    failed = 0
    for path in paths:
        with opened(path) as file:
            errors = file.read(columns=["error"]).column(0)
            failed += len(errors) - errors.null_count
    return failed


def facts_of(path: Path) -> tuple[dict[str, Any], int]:
    """What a file's metadata say, and its number of rows.

    Raises:
        DataError: it is damaged, or not a file of rows.
    """
    with opened(path) as file:
        metadata = file.schema_arrow.metadata or {}
        try:
            facts = json.loads(metadata.get(KEY, b""))
        except ValueError:
            facts = None
        if not isinstance(facts, dict):
            raise DataError(f"{path}: a Parquet file, but not one of lbwdet detect")
        return facts, file.metadata.num_rows


def opened(path: str | os.PathLike[str]) -> Any:
    """The Parquet file.

    Raises:
        DataError: it is none.
    """
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(f"{path}: no Parquet file that can be read: {first_line(error)}") from error


def _text(text: str) -> str:
    """Parquet's texts are UTF-8; names of files need not be."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
