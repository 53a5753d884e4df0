"""The addresses, by HTTP."""

import base64
import json
import socket
import threading

import numpy as np
import pytest

from lbwdet.deploy.runtime.detector import Detector
from lbwdet.deploy.testing import random_image, tiny_artifact
from lbwdet.serving.answers import (
    HealthAnswer,
    ImageAnswer,
    ModelAnswer,
    RefusalAnswer,
    image_json,
)
from tests.serving.conftest import FILE, IMAGE, encoded, needs_engine, running

pytestmark = needs_engine
EXPECTED = image_json(IMAGE.shape[:2], Detector(tiny_artifact())(IMAGE).above(0.1))


def test_three_ways_for_an_image(served):
    form = (
        b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n%s\r\n--b--\r\n'
    )
    as_json = json.dumps({"image": base64.b64encode(FILE).decode()}).encode()
    for kind, body in (
        ("image/png", FILE),
        ("multipart/form-data; boundary=b", form % FILE),
        ("application/json", as_json),
    ):
        answer = served.ask(body=body, Content_Type=kind)
        assert (answer.status, answer.body) == (200, EXPECTED), kind
    ImageAnswer.model_validate_json(EXPECTED)
    assert served.ask(body=FILE).body == EXPECTED  # http.client names no type


def test_upright_boxes_of_an_image_that_lies_on_its_side(served):
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    turned = encoded(np.rot90(IMAGE).copy(), exif=exif)
    assert served.ask(body=turned).body == EXPECTED


def test_the_threshold_of_a_request(served):
    every = served.ask("/detect?score=0", FILE).json["detections"]
    scores = [entry["score"] for entry in every]
    middle = scores[len(scores) // 2]
    fewer = served.ask(f"/detect?score={middle!r}", FILE).json["detections"]
    assert [entry["score"] for entry in fewer] == [score for score in scores if score >= middle]
    assert 0 < len(fewer) < len(every)


def test_a_parameter_that_is_none(served):
    answer = served.ask("/detect?score_thr=0.5&score=0.5", FILE)
    assert answer.status == 422
    assert answer.json["detail"] == "query.score_thr: no parameter; there is score"


@pytest.mark.parametrize("score", ["2", "-1", "nan", "high"])
def test_a_threshold_that_is_none(served, score):
    answer = served.ask(f"/detect?score={score}", FILE)
    assert answer.status == 422
    assert answer.json["detail"].startswith("query.score: ")


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (400, "image/png", b""),
        (400, "image/png", FILE[:-200]),
        (400, "application/json", b"{}"),
        (400, "multipart/form-data", FILE),
        (413, "image/png", bytes(100_001)),
        (413, "image/png", encoded(random_image(0, 101, 100))),
        (415, "image/png", b"GIF89a"),
        (415, "text/plain", FILE),
    ],
)
def test_refusals_are_one_sentence_of_json(served, status, kind, body):
    answer = served.ask(body=body, Content_Type=kind)
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/json"
    sentence = RefusalAnswer.model_validate_json(answer.body).detail
    assert sentence and "\n" not in sentence and "Traceback" not in sentence


def test_a_body_without_a_length(served):
    for body, status in ((FILE, 200), (bytes(200_000), 413)):
        chunks = iter([body[:1000], body[1000:]])
        connection = served.connect()
        connection.request("POST", "/detect", chunks, {"Content-Type": "image/png"})
        assert connection.getresponse().status == status
        connection.close()


def test_a_connection_goes_on_after_a_refusal(served):
    connection = served.connect()
    for body, status in ((FILE, 200), (b"x", 415), (bytes(100_001), 413), (FILE, 200)):
        connection.request("POST", "/detect", body)
        response = connection.getresponse()
        response.read()
        assert response.status == status
    connection.close()


def test_what_runs_here(served):
    assert HealthAnswer.model_validate_json(served.ask("/health").body).status == "ok"
    model = ModelAnswer.model_validate_json(served.ask("/model").body)
    assert model.name == "tiny.lbw" and model.classes == ["class0", "class1", "class2"]
    assert (model.queue, model.max_bytes, model.max_pixels) == (4, 100_000, 10_000)


def test_other_addresses(served):
    for path, method, status in (
        ("/nowhere", "GET", 404),
        ("/detect", "GET", 405),
        ("/../../etc/passwd", "GET", 404),
        ("/docs", "GET", 404),
    ):
        answer = served.ask(path, method=method)
        assert answer.status == status and "detail" in answer.json


def test_openapi_says_what_is_true(served):
    described = served.ask("/openapi.json").json
    detect = described["paths"]["/detect"]["post"]
    assert set(detect["requestBody"]["content"]) == {
        *("image/*", "application/octet-stream", "multipart/form-data", "application/json")
    }
    assert {"200", "400", "408", "413", "415", "422", "429", "503", "504"} == set(
        detect["responses"]
    )
    schema = detect["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema["$ref"].endswith("/ImageAnswer")
    assert set(described["paths"]) == {"/detect", "/health", "/model", "/metrics"}


def test_metrics_count_every_answer(artifact_path):
    with running(artifact_path) as served:
        for body in (FILE, b"x", b"y"):
            served.ask(body=body)
        counted = served.counted()
    assert counted['lbwdet_requests_total{status="200"}'] == 1
    assert counted['lbwdet_requests_total{status="415"}'] == 2
    assert counted["lbwdet_request_seconds_count"] == counted["lbwdet_engine_seconds_count"] == 1
    assert counted["lbwdet_places_taken"] == 0 and counted["lbwdet_places"] == 17
    assert counted["process_resident_memory_bytes"] > 1e6


def test_a_full_house_and_a_late_one(artifact_path):
    with running(artifact_path, queue=1, timeout=1.0) as served:
        answers = []
        with served.busy():
            threads = [
                threading.Thread(target=lambda: answers.append(served.ask(body=FILE)))
                for _ in range(2)
            ]
            for thread in threads:
                thread.start()
            served.wait_for("lbwdet_places_taken", 2)
            full = served.ask(body=FILE)
            for thread in threads:
                thread.join()
        served.wait_for("lbwdet_places_taken", 0)
        assert served.ask(body=FILE).body == EXPECTED
    assert full.status == 429 and int(full.headers["Retry-After"]) >= 1
    assert [answer.status for answer in answers] == [503, 503]


def test_those_who_leave_take_no_place(artifact_path):
    head = b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(FILE)
    with running(artifact_path, queue=1) as served:
        with served.busy():
            for sent in (head + FILE[:10], head + FILE):
                with socket.create_connection(("127.0.0.1", served.port)) as client:
                    client.sendall(sent)
                    served.wait_for("lbwdet_places_taken", 1)
            served.wait_for('lbwdet_requests_total{status="499"}', 2)
        served.wait_for("lbwdet_places_taken", 0)
        assert served.counted()["lbwdet_engine_seconds_count"] == 0
        assert served.ask(body=FILE).status == 200
