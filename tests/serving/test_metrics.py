from lbwdet.serving.metrics import Metrics


def test_two_servers_do_not_share_counters():
    one, another = Metrics(), Metrics()
    one.requests.labels("200").inc()
    one.engine.observe(0.004)
    assert b'lbwdet_requests_total{status="200"} 1.0' in one.text()
    assert b'lbwdet_engine_seconds_bucket{le="0.005"} 1.0' in one.text()
    assert b"lbwdet_requests_total{" not in another.text()
