"""What two parsers read differently is refused."""

import pytest

from proxy.dataplane import referee
from proxy.policy.message import Malformed


@pytest.mark.parametrize(
    "block",
    [
        b"Host: a\r\n",
        b"Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
        b"Host: a\r\nTransfer-Encoding: chunked\r\nX-Bytes: \xc3\xa9\xff\r\n",
        b"Host: a\r\nEmpty:\r\nBlank:  \r\nTab:\ta\tb \r\nTwice: 1\r\nTwice: 2\r\n",
    ],
)
def test_what_both_read_alike_passes(block: bytes) -> None:
    """
    Bytes above ASCII, empty values, tabs, upgrades: no doubt about any of them.
    """
    referee.check_request(block, minor=1, limit=100)


@pytest.mark.parametrize(
    "block",
    [
        b"Host: a\r\nX : y\r\n",
        b"Host: a\r\n folded\r\n",
        b"Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        b"Host: a\r\nContent-Length: 1, 2\r\n",
        b"Host: a\r\nX: a\nY: b\r\n",
        b"Host: a\r\n\r\nGET /second HTTP/1.1\r\n",
    ],
)
def test_what_either_of_them_refuses_is_refused(block: bytes) -> None:
    """
    The second reading needs no help from the first.
    """
    with pytest.raises(Malformed):
        referee.check_request(block, minor=1, limit=100)


def test_answers_are_read_twice_as_well() -> None:
    """
    A 304 with a length, a 101, an answer that goes on until the connection ends; and a folded one.
    """
    referee.check_answer(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n", status=304)
    referee.check_answer(b"HTTP/1.1 101 OK\r\nConnection: upgrade\r\nUpgrade: x\r\n", status=101)
    referee.check_answer(b"HTTP/1.0 200 OK\r\n", status=200)
    with pytest.raises(Malformed):
        referee.check_answer(b"HTTP/1.1 200 OK\r\nX: 1\r\n folded\r\n", status=200)
