"""A socket, and what answers on it until it is told to stop."""

import math
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from lbwdet.errors import ConfigError

_BACKLOG = 128
_LAST_PORT = (1 << 16) - 1
_GRACE = 5  # seconds beyond the last request's timeout until a stop is a hard one


class Server(uvicorn.Server):
    """Answers what came before it is told to stop (``should_exit``), then ends.

    Args:
        app: what answers.
        timeout: seconds within which it answers each request.
    """

    def __init__(self, app: FastAPI, timeout: float) -> None:
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=math.ceil(timeout) + _GRACE,
        )
        super().__init__(config)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn's own raises them once more at the end, which would be a death by signal."""
        yield

    @contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT ask for a stop; a second SIGINT does not wait for answers."""
        before = {
            number: signal.signal(number, self.handle_exit)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that clients may connect to from now on; port 0 is any that is free.

    Raises:
        ConfigError: nobody can listen there.
    """
    try:
        if port > _LAST_PORT:  # getaddrinfo takes it for another one
            raise OverflowError(f"ports end at {_LAST_PORT}")
        family, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"{host}:{port}: cannot listen there: {reason}; choose another --host or --port"
        ) from error
    # Connections inherit it. asyncio sets it only where a socket names its protocol, and without
    # it answers in two parts wait 40 ms for a client's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with listener:
        yield listener


def url_of(listener: socket.socket) -> str:
    """What a browser takes.

    >>> with listening("127.0.0.1", 0) as listener:
    ...     url_of(listener).startswith("http://127.0.0.1:")
    True
    """
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
