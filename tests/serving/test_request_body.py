import asyncio

import pytest

from lbwdet.serving.refusal import CLIENT_LEFT, Refused
from lbwdet.serving.request_body import check_length, read_body, until_left

LEFT = {"type": "http.disconnect"}


def coming(*messages):
    left = iter(messages)

    async def receive():
        return next(left)

    return receive


def parts(*bodies):
    last = len(bodies) - 1
    return [
        {"type": "http.request", "body": body, "more_body": index < last}
        for index, body in enumerate(bodies)
    ]


def test_all_parts_up_to_the_limit():
    body = asyncio.run(read_body(coming(*parts(b"ab", b"", b"cd")), 4))
    assert body == b"abcd"


def test_more_than_the_limit_is_not_read_on():
    receive = coming(*parts(b"ab", b"cde", b"f"))
    with pytest.raises(Refused, match="longer than 4 bytes") as caught:
        asyncio.run(read_body(receive, 4))
    assert caught.value.status == 413
    assert asyncio.run(receive())["body"] == b"f"


def test_a_client_that_leaves():
    with pytest.raises(Refused) as caught:
        asyncio.run(read_body(coming(parts(b"ab", b"c")[0], LEFT), 4))
    assert caught.value.status == CLIENT_LEFT
    asyncio.run(until_left(coming(*parts(b""), LEFT)))


@pytest.mark.parametrize("declared", [None, "4", "no number", "-5", ""])
def test_lengths_that_pass(declared):
    check_length(declared, 4)


@pytest.mark.parametrize("declared", ["5", "9" * 10_000])
def test_lengths_that_do_not(declared):
    with pytest.raises(Refused) as caught:
        check_length(declared, 4)
    assert caught.value.status == 413
