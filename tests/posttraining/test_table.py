from lbwdet.posttraining import LayerResult, markdown, rows

LAYERS = [LayerResult("a", 0.25, 0.001, 0.0, 15), LayerResult("b", None, None, 0.5, 3)]


def test_markdown():
    assert markdown(LAYERS).splitlines()[2:] == [
        "| a | 25.00 | 0.10 | 15 | 0.0 |",
        "| b | not reached | not reached | 3 | 50.0 |",
    ]


def test_rows():
    assert [LayerResult(**row) for row in rows(LAYERS)] == LAYERS
