import pytest

from lbwdet.tables import accuracy_text, bytes_text, latency_text, machine_text, table

COLUMNS = {"": lambda row: row[0], "name": lambda row: row[1], "n": lambda row: row[2]}


def test_a_table_is_aligned_and_keeps_its_cells():
    text = table([("a|b\nc", "x", 1), ("d", "longer", "2,000")], COLUMNS, left=2)
    lines = text.splitlines()
    assert text.endswith("|\n") and len({len(line) for line in lines}) == 1
    assert lines[1] == "| ------ | ------ | ----: |"
    assert lines[2:] == ["| a\\|b c | x      |     1 |", "| d      | longer | 2,000 |"]


def test_a_table_without_rows_is_its_header():
    assert table([], COLUMNS) == "|     | name |   n |\n| --- | ---: | --: |\n"


def test_machine_text():
    assert machine_text(dict(cpu="C", threads=1, commit="a")) == "Machine: C, 1 thread. Commit: a."
    assert machine_text(dict(cpu="C", commit=None)) == "Machine: C. Commit: unknown."


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (123_456, "123 kB"),
        (1_820_000, "1.82 MB"),
        (28_400_000, "28.4 MB"),
        (165_600_000, "166 MB"),
        (1_656_000_000, "1,656 MB"),
    ],
)
def test_bytes_text(count, expected):
    assert bytes_text(count) == expected


def test_what_was_not_measured_says_so():
    assert latency_text(None) == "not measured"
    assert latency_text(dict(median=12.34, p10=11, p90=14)) == "12.3 ms (11.0-14.0)"
    assert latency_text(dict(median=1234, p10=1200, p90=1300)) == "1234 ms (1200-1300)"
    assert accuracy_text(None) == "no objects"
    assert accuracy_text(0.0) == "0.000"
