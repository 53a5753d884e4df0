from lbwdet.studies.web_report import markdown


def engine(latency):
    return {
        "download_bytes": 1_140_000,
        "download_bytes_gzip": 640_000,
        "start_ms": 1012.9,
        "latency_ms": latency,
        "latency_ms_tenth": latency - 10,
        "latency_ms_ninth_tenth": latency + 20,
    }


def test_a_row_for_each_engine_and_how_it_was_measured():
    text = markdown(
        {
            "protocol": "In turn.",
            "machine": {"cpu": "some CPU", "cores": 2, "load": [0.25, 1.0]},
            "browser": "Chromium 1",
            "onnxruntime_web": "1.2",
            "commit": "0123456789abcdef",
            "models": {"model": "a.lbw", "float": "a.onnx", "int8": "b.onnx"},
            "images": 8,
            "rounds": 5,
            "engines": {"lbwdet": engine(104.2), "another": engine(200.0)},
        }
    )
    lines = text.splitlines()
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells == ["lbwdet", "1.14", "0.64", "1,013", "104", "94", "124"]
    assert lines[3].split()[1] == "another"
    assert "load 0.2 before and 1.0 after; commit 0123456789ab." in text
    assert "8 images, 5 rounds; a.lbw, a.onnx, b.onnx." in text
