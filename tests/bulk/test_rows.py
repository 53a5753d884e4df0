import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lbwdet.bulk.rows import (
    KEY,
    count_failed,
    facts_of,
    failed_row,
    found_row,
    read_rows,
    schema_of,
    write_rows,
)
from lbwdet.deploy.runtime.detector import DetectionResult
from lbwdet.deploy.runtime.masks import Mask
from lbwdet.errors import DataError

FACTS = dict(run="12", classes=["cat", "</dog>"])


@pytest.fixture
def found():
    return DetectionResult(
        boxes=np.array([[1, 2, 3, 4.5]], np.float32),
        scores=np.array([0.5], np.float32),
        labels=np.array([1], np.int64),
        names=("</dog>",),
        masks=(Mask((8, 9), np.array([10, 2, 60], np.uint32)),),
    )


def test_rows_there_and_back(tmp_path, found):
    image = np.zeros((8, 9, 3), np.uint8)
    rows = [found_row(3, "a\udcff.jpg", image, found), failed_row(4, "b.jpg", "b.jpg: empty")]
    write_rows(tmp_path / "a.parquet", rows, schema_of(FACTS, masks=True))
    assert facts_of(tmp_path / "a.parquet") == (FACTS, 2)
    assert list(read_rows([tmp_path / "a.parquet"] * 2)) == 2 * [
        dict(
            index=3,
            image="a\\udcff.jpg",
            width=9,
            height=8,
            boxes=[[1, 2, 3, 4.5]],
            labels=[1],
            scores=[0.5],
            masks=[found.masks[0].coco()["counts"]],
            error=None,
        ),
        dict.fromkeys(("width", "height", "boxes", "labels", "scores", "masks"))
        | dict(index=4, image="b.jpg", error="b.jpg: empty"),
    ]
    assert count_failed([tmp_path / "a.parquet"] * 3) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_without_masks_there_is_no_column_of_them(tmp_path, found):
    row = found_row(0, "a.jpg", np.zeros((8, 9, 3), np.uint8), found)
    write_rows(tmp_path / "a.parquet", [row], schema_of(FACTS, masks=False))
    schema = pq.read_schema(tmp_path / "a.parquet")
    assert "masks" not in schema.names and json.loads(schema.metadata[KEY]) == FACTS
    assert schema.field("boxes").type == pa.list_(pa.list_(pa.float32(), 4))


def test_files_that_are_none_of_ours(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(dict(index=[1])), path)
    with pytest.raises(DataError, match=r"a\.parquet: .* not one of lbwdet detect"):
        facts_of(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"a\.parquet: no Parquet file that can be read"):
        facts_of(path)
