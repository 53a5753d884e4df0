"""The bytes of a request, no more of them than allowed."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from lbwdet.serving.refusal import CLIENT_LEFT, Refused

# As ASGI has them: https://asgi.readthedocs.io/en/latest/specs/www.html
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
_DIGITS = 20  # of any length that is meant


def check_length(declared: str | None, limit: int) -> None:
    """Refuses a body that says itself that it is too long, before any of it is read.

    Raises:
        Refused: 413.
    """
    if declared is None or not declared.isdecimal():
        return
    if len(declared) > _DIGITS or int(declared) > limit:
        raise _too_long(limit)


async def read_body(receive: Receive, limit: int) -> bytes:
    """All of a request's body.

    Raises:
        Refused: 413 as soon as it is longer than ``limit`` bytes, or the client has left.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(CLIENT_LEFT, "the client left before its request was complete")
        body += message.get("body", b"")
        if len(body) > limit:
            raise _too_long(limit)
        if not message.get("more_body", False):
            return bytes(body)


async def until_left(receive: Receive) -> None:
    """Returns when the client has closed the connection; the body was read before."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _too_long(limit: int) -> Refused:
    return Refused(413, f"the body is longer than {limit:,} bytes, which is the limit here")
