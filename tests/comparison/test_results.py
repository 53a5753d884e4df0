from lbwdet.comparison.results import markdown


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
