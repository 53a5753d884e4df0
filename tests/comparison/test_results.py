import pytest

from lbwdet.comparison.results import accuracy_text, bytes_text, latency_text, markdown


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


def test_markdown_table_is_aligned_and_survives_bars():
    model = dict(
        name="a|b",
        bit_width=6,
        mAP_11point=0.5,
        mAP_area=None,
        weight_bytes=1000,
        float_bytes=5300,
        engine="torch",
        latency_ms=None,
        per_class={"cat": dict(AP_11point=None, num_gts=0)},
    )
    text = markdown(
        dict(
            models=[model],
            dataset="set",
            num_images=3,
            protocol=dict(size="Size: bytes."),
            cpu="CPU",
            threads=2,
            commit=None,
        )
    )
    header, rule, row = text.splitlines()[:3]
    assert len(header) == len(rule) == len(row)
    assert row.startswith("| a\\|b  |") and "5.3x" in row and "not measured" in row
    assert "| cat" in text and "no objects" in text
    assert "- Size: bytes." in text and "Commit: unknown." in text
