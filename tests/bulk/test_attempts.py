import pytest

from lbwdet.bulk.attempts import DEATHS, PREFIX, Attempts


def die(path, *indices):
    """As a killed process leaves it: what was noted stays."""
    attempt = Attempts(path)
    for index in indices:
        assert attempt.may_try(index)


def test_an_image_at_which_workers_die_is_left_out(tmp_path):
    path = tmp_path / "shard-1.parquet"
    for _ in range(DEATHS):
        die(path, 6, 7)
    with Attempts(path) as attempt:
        assert [attempt.may_try(index) for index in (6, 7, 8)] == [True, False, True]
    assert list(tmp_path.iterdir()) == []


def test_whoever_ends_by_himself_has_not_died(tmp_path):
    path = tmp_path / "shard-1.parquet"
    for _ in range(2 * DEATHS):
        with pytest.raises(KeyboardInterrupt), Attempts(path) as attempt:
            assert attempt.may_try(7)
            raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    die(path, 7)
    with pytest.raises(OSError), Attempts(path) as attempt:
        raise OSError
    assert [(path.name, path.stat().st_size) for path in tmp_path.iterdir()] == [
        (f"{PREFIX}shard-1", 8)
    ]


def test_a_note_that_was_cut_off(tmp_path):
    path = tmp_path / "shard-1.parquet"
    die(path, 7)
    with (tmp_path / f"{PREFIX}shard-1").open("ab") as notes:
        notes.write(b"123")
    for _ in range(DEATHS - 1):
        die(path, 7)
    with Attempts(path) as attempt:
        assert not attempt.may_try(7)
