import signal
import socket

import pytest
from fastapi import FastAPI

from lbwdet.errors import ConfigError
from lbwdet.serving.server import Server, listening, url_of


def test_a_port_in_use():
    with listening("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(
            ConfigError, match=rf"^127\.0\.0\.1:{port}: cannot listen there: Address already in use"
        ):
            listening("127.0.0.1", port).__enter__()


@pytest.mark.parametrize(
    ("host", "port"),
    [("a" * 300, 0), ("127.0.0.1", 70_000), ("192.0.2.1", 0)],
)
def test_where_nobody_can_listen(host, port):
    with pytest.raises(ConfigError, match=r"cannot listen there: .*; choose another --host"):
        listening(host, port).__enter__()


def test_addresses():
    with listening("127.0.0.1", 0) as listener:
        assert url_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"
    if socket.has_ipv6:
        try:
            with listening("::1", 0) as listener:
                assert url_of(listener).startswith("http://[::1]:")
        except ConfigError:
            pytest.skip("this machine has no IPv6")


def test_answers_are_sent_at_once():
    with (
        listening("127.0.0.1", 0) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as connection,
    ):
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_signals_ask_for_a_stop_and_are_given_back():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    server = Server(FastAPI(), 1)
    with server.stopped_by_signals():
        signal.raise_signal(signal.SIGTERM)
        assert server.should_exit and not server.force_exit
        signal.raise_signal(signal.SIGINT)
        assert server.force_exit
        with server.capture_signals():
            pass
    assert before == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))
