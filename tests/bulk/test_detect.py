import errno
import fcntl
import json
import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from lbwdet.bulk.coco import images_path
from lbwdet.bulk.detect import BulkSettings, detect_in_bulk
from lbwdet.bulk.manifest import NAME
from lbwdet.bulk.rows import read_rows
from lbwdet.cli import main
from lbwdet.datasets.voc_files import read_ids
from lbwdet.errors import ConfigError, DataError

HERE = ("--workers", "0", "--engine", "reference", "--shard-size", "2", "--score-thr", "0.05")


def settings(**changes):
    return BulkSettings(
        **dict(workers=0, engine="reference", shard_size=2, score_thr=0.05) | changes
    )


def rows_of(folder):
    return list(read_rows(sorted(folder.glob("*.parquet"))))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def run(*arguments):
    return main(["detect", *map(str, arguments), *HERE])


def test_a_folder(images, artifact, tmp_path, capsys):
    out = tmp_path / "boxes.parquet"
    assert run(images, artifact, "--out", out) == 0
    printed = capsys.readouterr()
    assert printed.out == f"5 images; see {out}\n"
    assert "detect  5/5  " in printed.err and ", 0:00 left" in printed.err
    assert f"1 images could not be used; their rows in {out} say why" in printed.err
    assert names(out) == [NAME, *(f"shard-000000{number}.parquet" for number in range(3))]
    table = pq.read_table(out)  # as any reader of folders of Parquet
    assert table.column("image").to_pylist() == ["a.jpg", "b.jpg", "c.jpg", "d.png", "e.bmp"]
    assert table.column("index").to_pylist() == [0, 1, 2, 3, 4]
    facts = json.loads(table.schema.metadata[b"lbwdet"])
    assert facts["classes"] == ["cell"] and len(facts["artifact_digest"]) == 64
    assert run(images, artifact, "--out", out) == 0
    assert capsys.readouterr().out == f"5 images, 5 of them by earlier runs; see {out}\n"


def test_missing_shards_alone_are_done(images, artifact, tmp_path):
    out = tmp_path / "boxes.parquet"
    detect_in_bulk(images, artifact, out, settings())
    whole = rows_of(out)
    (out / "shard-0000001.parquet").unlink()
    (out / ".shard-0000001-abc.lbwpart.parquet").write_bytes(b"half")
    os.utime(out / "shard-0000000.parquet", (1, 1))
    result = detect_in_bulk(images, artifact, out, settings())
    assert (result.images, result.failed, result.before) == (5, 1, 3)
    assert rows_of(out) == whole and len(names(out)) == 4
    assert (out / "shard-0000000.parquet").stat().st_mtime == 1


def test_a_run_with_something_else_is_refused(images, artifact, tmp_path, capsys):
    out = tmp_path / "boxes.parquet"
    assert run(images, artifact, "--out", out) == 0
    before = names(out)
    (images / "f.png").write_bytes((images / "d.png").read_bytes())
    capsys.readouterr()
    assert run(images, artifact, "--out", out) == 2
    assert capsys.readouterr().err == (
        f"error: {out}: begun with something else, of which the number of images in the source, "
        "the source (names, sizes or times of its files) changed since; name another folder by "
        "--out, or delete this one\n"
    )
    assert names(out) == before


def test_coco(images, artifact, tmp_path):
    out = tmp_path / "boxes.json"
    for _ in range(2):  # the second time, all is there
        assert run(images, artifact, "--out", out) == 0
        results = json.loads(out.read_text())
        whole = rows_of(tmp_path / "boxes.json.parquet")
        assert len(results) == sum(len(row["scores"] or ()) for row in whole) > 0
        assert len(json.loads(images_path(out).read_text())["images"]) == 4


def test_voc(images, artifact, tmp_path, capsys):
    out = tmp_path / "voc"
    line = (images, artifact, "--out", out, "--format", "voc")
    assert run(*line) == 0 and run(*line) == 0
    assert read_ids(out / "ImageSets" / "Main" / "detected.txt") == ["a", "b", "d", "e"]
    (images / "a.png").write_bytes((images / "d.png").read_bytes())
    assert run(images, artifact, "--out", tmp_path / "other", "--format", "voc") == 2
    assert "a.jpg and a.png would both be a.xml" in capsys.readouterr().err
    assert names(tmp_path) == ["images", "voc", "voc.parquet"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (dict(source="missing"), "missing: there is no such file or folder"),
        (dict(out="boxes"), "--out boxes: which format? End it with .parquet or .json"),
        (dict(artifact="missing.lbw"), "missing.lbw: cannot be read"),
        (dict(artifact="images/a.jpg"), "images/a.jpg: "),
        (dict(out="there.json"), "there.json: something is there already"),
        (dict(out="images"), "images: a folder with other things in it"),
        (dict(out="file.parquet"), "file.parquet: a file is there"),
    ],
)
def test_bad_input_is_one_sentence(images, artifact, tmp_path, capsys, monkeypatch, change, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.json").write_text("[]")
    (tmp_path / "file.parquet").write_text("")
    before = names(tmp_path)
    words = dict(source="images", artifact=artifact, out="boxes.parquet") | change
    extra = ("--format", "parquet") if words["out"] == "images" else ()
    assert run(words["source"], words["artifact"], "--out", words["out"], *extra) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {said}") and printed.count("\n") == 1
    assert names(tmp_path) == before


def test_a_full_disk(images, artifact, tmp_path, monkeypatch, capsys):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / "boxes.parquet"
    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", full)
        assert run(images, artifact, "--out", out) == 2
    printed = capsys.readouterr().err
    assert printed == f"error: {out}/shard-0000000.parquet: No space left on device\n"
    assert names(out) == [NAME]
    assert run(images, artifact, "--out", out) == 0


def test_ctrl_c_keeps_what_is_done(images, artifact, tmp_path, monkeypatch):
    out = tmp_path / "boxes.parquet"
    write, calls = pq.write_table, []

    def interrupted(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", interrupted)
        assert run(images, artifact, "--out", out) == 130
    assert names(out) == [NAME, "shard-0000000.parquet"]
    assert detect_in_bulk(images, artifact, out, settings()).before == 2


def test_two_runs_at_once(images, artifact, tmp_path):
    out = tmp_path / "boxes.parquet"
    out.mkdir()
    handle = os.open(out, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(DataError, match="another run is writing here"):
        detect_in_bulk(images, artifact, out, settings())
    os.close(handle)
    assert detect_in_bulk(images, artifact, out, settings()).images == 5


def test_settings_out_of_range():
    with pytest.raises(ConfigError, match="--workers 0 works in this process alone"):
        settings(cluster="localhost:6379")
    with pytest.raises(ConfigError, match=r"--score-thr 1\.5: scores lie between 0 and 1"):
        settings(score_thr=1.5)


@pytest.mark.parametrize("module", ["ray", "pyarrow"])
def test_what_is_not_installed(images, artifact, tmp_path, module):
    line = ["detect", str(images), str(artifact), "--out", "boxes.parquet", "--workers", "1"]
    program = (
        f"import sys; sys.modules[{module!r}] = None; from lbwdet.cli import main; "
        f"sys.exit(main({[*line, '--engine', 'reference']!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2 and names(tmp_path) == ["images"]
    assert done.stderr == (
        f"error: this command needs {module}, which is not installed: pip install 'lbwdet[bulk]'\n"
    )


def test_no_training_framework_is_imported(images, artifact, tmp_path):
    program = (
        "import sys; from lbwdet.cli import main; "
        f"code = main({['detect', str(images), str(artifact), '--out', 'b.parquet', *HERE]!r}); "
        "print(code, sorted({'torch', 'mmdet', 'mmengine', 'cv2', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.splitlines()[-1] == "0 []"
