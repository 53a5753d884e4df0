import base64
import json

import numpy as np
import pytest

from lbwdet.serving.refusal import Refused
from lbwdet.serving.request_image import check_type, image_file

FORM = "multipart/form-data; boundary=xyz"
DATA = bytes(range(256)) + b"\r\n--xy\r\n"


def form(*parts, end=b"--xyz--\r\n"):
    return (
        b"".join(b"--xyz\r\n" + head + b"\r\n\r\n" + body + b"\r\n" for head, body in parts) + end
    )


def file_part(name=b"image", data=DATA):
    head = (
        b'Content-Disposition: form-data; name="%s"; filename="a.jpg"\r\nContent-Type: image/jpeg'
    )
    return head % name, data


FIELD = (b'Content-Disposition: form-data; name="note"', b"hello")


@pytest.mark.parametrize(
    "content_type",
    ["", "image/jpeg", "IMAGE/PNG", "application/octet-stream", "image/webp; charset=binary"],
)
def test_the_body_itself(content_type):
    check_type(content_type)
    assert image_file(content_type, DATA) == DATA


def test_a_form():
    check_type(FORM)
    assert image_file(FORM, form(file_part())) == DATA
    assert image_file(FORM, form(FIELD, file_part(b"anything"), FIELD)) == DATA
    large = bytes(3 << 20)
    assert image_file(FORM, form(file_part(data=large))) == large


def test_json():
    text = base64.b64encode(DATA).decode()
    for image in (text, f"data:image/png;base64,{text}"):
        body = json.dumps({"image": image, "other": 1}).encode()
        assert image_file("application/json; charset=utf-8", body) == DATA


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "imagejpeg", "\x00"])
def test_other_kinds(content_type):
    with pytest.raises(Refused, match="is not read here: send") as caught:
        check_type(content_type)
    assert caught.value.status == 415


@pytest.mark.parametrize(
    ("content_type", "body", "message"),
    [
        ("image/png", b"", "has no body"),
        ("application/json", b"", "has no body"),
        ("application/json", b"{", "is not JSON"),
        ("application/json", b"[" * 100_000, "is not JSON"),
        ("application/json", b"\xff\xfe", "is not JSON"),
        ("application/json", b'["image"]', "has no image"),
        ("application/json", b'{"image": 7}', "has no image"),
        ("application/json", b'{"image": "a"}', "not base64"),
        ("application/json", '{"image": "ä==="}'.encode(), "not base64"),
        ("multipart/form-data", form(file_part()), "names no boundary"),
        (FORM, b"hello", "cannot be read"),
        (FORM, form(FIELD), "holds 0 files"),
        (FORM, form(file_part(), file_part()), "holds 2 files"),
        (FORM, form(file_part())[:-40], "holds 0 files"),
        (FORM, form(*[FIELD] * 20), "more than 16 parts"),
        (FORM, form((b"Content-Disposition: form-data", b"")), "cannot be read"),
        (FORM, form((file_part()[0] + b"\r\nContent-Transfer-Encoding: x", b"")), "cannot be read"),
    ],
)
def test_no_image_in_it(content_type, body, message):
    with pytest.raises(Refused, match=message) as caught:
        image_file(content_type, body)
    assert caught.value.status == 400


def test_damaged_forms_are_refused_or_read():
    random, whole = np.random.default_rng(0), form(FIELD, file_part())
    refused = 0
    for _ in range(500):
        damaged = bytearray(whole)
        for _ in range(random.integers(1, 4)):
            start = random.integers(len(damaged))
            damaged[start : start + random.integers(3)] = random.bytes(random.integers(3))
        try:
            assert isinstance(image_file(FORM, bytes(damaged)), bytes)
        except Refused:
            refused += 1
    assert 0 < refused < 500
