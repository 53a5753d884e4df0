import cv2
import numpy as np
import pytest

from lbwdet.benchmark.picture import Shown, alternative, as_html, draw, shown
from lbwdet.errors import DataError


def entry(milliseconds: float, accuracy: float | None = 0.73, file_bytes: int = 3_900_000) -> dict:
    return dict(median_s=milliseconds / 1e3, mAP_area=accuracy, file_bytes=file_bytes)


@pytest.fixture
def result() -> dict:
    engines = {
        "torch-fp32": entry(58.8),
        "torch-compile": entry(37.5),  # in the tables, not here
        "onnxruntime-int8-whole": entry(25.3, 0.179, 1_300_000),
        "openvino-int8-whole": entry(14.5, 0.724, 1_800_000),
        "native": entry(7.4, 0.701, 732_000),
        "native-6bit-trained": entry(7.66, 0.719, 954_000),
    }
    return dict(
        part=dict(end_to_end=dict(engines=engines)),
        artifact=dict(name="4bit.lbw"),
        float_model=["a.py", "float.pth"],
        accuracy_set="some set, 196 images",
        threads=2,
        quiet=dict(why_not=[]),
        cpu="Some CPU",
        commit="0123",
    )


def test_what_is_shown(result):
    own, other, *peers = shown(result)
    assert own == Shown("lbwdet", "4 bits", 7.4, pytest.approx(70.1), 732_000)
    assert (other.variant, other.file_bytes) == ("6 bits, trained", 954_000)
    assert [(peer.engine, peer.variant) for peer in peers] == [
        ("MMDetection", "FP32"),
        ("ONNX Runtime", "INT8"),
        ("OpenVINO", "INT8"),
    ]
    assert alternative(result).startswith("lbwdet 4 bits: 70.1 mAP, 7.4 ms, 732 kB; lbwdet 6 bits")


def test_an_engine_without_accuracy_or_file_is_left_out(result):
    engines = result["part"]["end_to_end"]["engines"]
    engines["torch-fp32"]["mAP_area"] = None
    engines["openvino-int8-whole"]["file_bytes"] = None
    assert {each.engine for each in shown(result)} == {"lbwdet", "ONNX Runtime"}
    engines.clear()
    with pytest.raises(DataError, match=r"lbwdet benchmark MODEL\.lbw --accuracy"):
        shown(result)


@pytest.mark.parametrize(("dark", "ground"), [(False, (255, 255, 255)), (True, (32, 26, 22))])
def test_the_picture_has_its_ground_and_its_engines(result, dark, ground):
    data = draw(result, dark)
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert tuple(picture[0, 0]) == ground
    colors = {tuple(color) for color in picture.reshape(-1, 3)}
    # Blue, green, red: own, OpenVINO's and ONNX Runtime's of the palette.
    assert {(0xB2, 0x72, 0x00), (0x00, 0x5E, 0xD5), (0x73, 0x9E, 0x00)} <= colors
    assert draw(result, dark) == data


def test_its_place_in_a_page(result):
    result["artifact"]["name"] = 'a"b.lbw'
    result["quiet"]["why_not"] = ["others"]
    text = as_html(result, "light.png", "dark.png")
    assert 'srcset="dark.png"' in text and 'src="light.png"' in text and "a&quot;b" in text
    assert "a.py: area mAP" in text and "196 images. The machine was not quiet. " in text
