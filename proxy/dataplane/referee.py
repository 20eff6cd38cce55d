"""
A second reading of every head that is new to its connection, by llhttp, the parser of Node.js.

Rule 1: two parsers that were written apart must find the same fields in the same bytes. What they
        read differently is what request smuggling is made of, and is refused.

Rule 2: llhttp judges nothing alone. Where it is narrower than RFC 9112 without being safer (it has
        a list of methods), it is asked about what it understands.
"""

from httptools import (
    HttpParserError,
    HttpParserUpgrade,
    HttpRequestParser,
    HttpResponseParser,
)

from proxy.policy import message
from proxy.policy.message import Malformed

_DISAGREE = "two parsers read its fields differently"


class _Listener:
    """What llhttp tells: fields in their order, and the end of the head."""

    def __init__(self) -> None:
        self.fields: message.Fields = []
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.complete = True


def check_request(block: bytes, *, minor: int, limit: int) -> None:
    """Raise Malformed unless llhttp reads a request's header *block* as we do."""
    # The request line was matched to the letter; its method need not be one that llhttp knows.
    listener = _Listener()
    _check(HttpRequestParser(listener), b"GET / HTTP/1.%d\r\n" % minor, block, listener, limit)


def check_answer(head: bytes, *, status: int) -> None:
    """Raise Malformed unless llhttp reads an answer's *head*, without its empty line, as we do."""
    listener = _Listener()
    block = head.partition(b"\r\n")[2]
    start = b"HTTP/1.1 %d \r\n" % status
    _check(HttpResponseParser(listener), start, block, listener, limit=block.count(b"\n"))


def _check(
    parser: HttpRequestParser | HttpResponseParser,
    start: bytes,
    block: bytes,
    listener: _Listener,
    limit: int,
) -> None:
    try:
        parser.feed_data(b"%b%b\r\n" % (start, block))
    except HttpParserUpgrade:
        pass  # llhttp's way to say that another protocol follows: no complaint
    except HttpParserError:
        raise Malformed(_DISAGREE) from None
    if not listener.complete or listener.fields != message.fields(block, limit=limit):
        raise Malformed(_DISAGREE)
