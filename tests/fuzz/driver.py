"""
Three readers of the same bytes: ours, h11 and llhttp, without sockets.

Whatever we would forward, the other two must read alike: method, target, fields, content, trailers
and the place of the end. And what we would send must be, to both of them, exactly those requests.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import h11
import httptools

from proxy.dataplane import referee
from proxy.policy import answer, framing, message, reading, verdict
from proxy.policy.admission import Admission
from proxy.policy.credential import Credential
from proxy.policy.message import Fields, Malformed
from proxy.policy.rules import Rules
from proxy.policy.target import Base
from proxy.policy.verdict import Forward, Refuse

TOKEN = Credential("t0k3n", 0, 1, 1)
RULES = Rules(base=Base(b"https", b"api.example", b"/v1"), admission=Admission())
HEAD_BYTES = 65536


@dataclass
class Message:
    """What one reader makes of the bytes from some place on; *end* is how many are its own."""

    start: tuple[object, ...]  # method and target, or the status
    fields: Fields
    content: bytes = b""
    trailers: Fields = field(default_factory=list)
    end: int = 0
    until_close: bool = False  # only the connection's end is its end


class Unread(Exception):
    """A reader refused the bytes, or found no end in them; the text says why."""


class Stricter(Exception):
    """A reader refused what RFC 9112 has it accept; see ``_STRICTER``."""


# What the others refuse though the RFC has it accepted: in which words, and in which bytes. Any
# other refusal of theirs is our defect.
_STRICTER = (
    # RFC 9112 section 7.1.1: chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS … ] ), and a
    # recipient must take BWS (RFC 9110 section 5.6.3). h11 knows none before the first semicolon,
    # llhttp none at all.
    (
        re.compile(
            r"h11: illegal chunk header"
            r"|llhttp: .*'Invalid character in chunk (size|extensions( name| value)?)'"
        ),
        re.compile(rb"\r\n[0-9A-Fa-f]+[^\r\n]*(?:[ \t][;=]|[;=][ \t])"),
    ),
    # RFC 9112 section 5.1: OWS behind a value may be a tab. llhttp knows spaces only: to it that is
    # an unknown coding, which a request must not have, and whose end in an answer is the
    # connection's. We send the value without its OWS, so nobody behind us is in that doubt.
    (
        re.compile(r"llhttp: (.*has invalid `Transfer-Encoding`'|0 messages)"),
        re.compile(rb"(?i)\r\ntransfer-encoding:[ \t]*chunked[ \t]*\t[ \t]*\r\n"),
    ),
)


def forwarded(
    stream: bytes, rules: Rules = RULES, *, refereed: bool = False
) -> Iterator[tuple[int, Message, bytes]]:
    """
    Yield where each request that we would forward whole begins, what it means, and what we send.

    Passes by what is refused for what it asks; ends where a connection has to: at the first request
    that is malformed or unfinished, or is the last by its own word. *refereed*: what llhttp reads
    differently is malformed, as it is to the proxy as a whole.
    """
    at = 0
    while at < len(stream):
        if stream.startswith(b"\r\n", at):
            at += 2
        end = stream.find(b"\r\n\r\n", at, at + HEAD_BYTES)
        if end < 0:
            return
        line, _, block = stream[at : end + 2].partition(b"\r\n")
        try:
            method, target, minor = message.request_line(line, target_bytes=rules.target_bytes)
            received = reading.read(block, minor=minor, rules=rules, local="127.0.0.1")
            if refereed:
                referee.check_request(block, minor=minor, limit=rules.head_fields)
            judged = verdict.judge(verdict.ask(method, target, received, rules), TOKEN)
            read = _body(received.framing, stream, end + 4)
        except (Malformed, Unread):
            return
        if isinstance(judged, Forward):
            head = judged.head + (b"" if received.request_id else b"X-Request-Id: 1\r\n\r\n")
            read.start = (method, target)
            read.fields = message.fields(block, limit=rules.head_fields)
            sent = head + _written(received.framing, read)
            yield at, replace(read, end=read.end - at), sent
        elif isinstance(judged, Refuse) and judged.error.code == "bad_request":
            return
        at = read.end
        if not received.keep_alive:
            return


def _body(framed: int, data: bytes, at: int) -> Message:
    """Return content, trailers and end of the body that begins at *at*."""
    body = framing.reader(framed)
    content, rest = body.feed(data[at:]) if not body.done else (b"", data[at:])
    if not body.done and framed != framing.UNTIL_CLOSE:
        raise Unread("unfinished")
    trailers = message.fields(body.trailers, limit=100)
    until_close = framed == framing.UNTIL_CLOSE
    return Message((), [], content, trailers, len(data) - len(rest), until_close)


def _written(framed: int, read: Message) -> bytes:
    if framed != framing.CHUNKED:
        return read.content
    trailers = b"".join(b"%b: %b\r\n" % pair for pair in read.trailers)
    return (framing.chunk(read.content) if read.content else b"") + framing.last_chunk(trailers)


def passed_on(stream: bytes, *, to_head: bool) -> Iterator[tuple[int, Message]]:
    """Yield the answers, interim ones too, that *stream* is to us from one upstream; one final."""
    at = 0
    while True:
        end = stream.find(b"\r\n\r\n", at)
        if end < 0:
            return
        try:
            answered = answer.read(stream[at : end + 2], send_via=False)
            body = 0 if to_head else answered.framing
            read = _body(body, stream, end + 4)
        except (Malformed, Unread):
            return
        block = stream[at : end + 2].partition(b"\r\n")[2]
        found = message.fields(block, limit=1000)
        read.start, read.fields = (answered.status,), found
        yield at, replace(read, end=read.end - at)
        at = read.end
        if answered.status >= 200 or answered.status == 101:
            return


# The others.


def _refusal(text: str, data: bytes) -> Exception:
    for words, found in _STRICTER:
        if words.match(text) and found.search(data):
            return Stricter(text)
    return Unread(text)


# h11.


def h11_request(data: bytes) -> Message:
    """Return what h11 takes the request at the beginning of *data* for."""
    return _h11(h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES * 2), data)


def h11_answer(data: bytes, *, to_head: bool) -> Message:
    """Return what h11 takes the answer at the beginning of *data*, which ends with it, for."""
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES * 2)
    client.send(
        h11.Request(method="HEAD" if to_head else "GET", target="/", headers=[("Host", "a")])
    )
    client.send(h11.EndOfMessage())
    return _h11(client, data)


def _h11(connection: h11.Connection, data: bytes) -> Message:
    try:
        connection.receive_data(data)
        event = connection.next_event()
        if isinstance(event, h11.Request):
            read = Message((event.method, event.target), list(event.headers.raw_items()))
        elif isinstance(event, h11.InformationalResponse | h11.Response):
            read = Message((event.status_code,), list(event.headers.raw_items()))
        else:
            raise Unread(f"h11: {event!r}")
        if not isinstance(event, h11.InformationalResponse):
            _h11_body(connection, read)
    except (h11.RemoteProtocolError, RuntimeError) as error:
        raise _refusal(f"h11: {error}", data) from error
    read.end = len(data) - len(connection.trailing_data[0])
    return read


def _h11_body(connection: h11.Connection, read: Message) -> None:
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        if isinstance(event, h11.Data):
            read.content += event.data
        elif event is h11.NEED_DATA and not read.until_close:
            read.until_close = True
            connection.receive_data(b"")
        else:
            raise Unread(f"h11: {event!r}")
    read.trailers = list(event.headers.raw_items())


# llhttp.


class _Heard:
    """Collects llhttp's callbacks; *complete* counts messages."""

    def __init__(self) -> None:
        self.url = self.content = b""
        self.fields: Fields = []
        self.trailers: Fields = []
        self.headed = False
        self.complete = 0

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        pairs = self.trailers if self.headed else self.fields
        pairs.append((name, value.strip(b" \t")))  # llhttp leaves what follows a value on it

    def on_headers_complete(self) -> None:
        self.headed = True

    def on_body(self, data: bytes) -> None:
        self.content += data

    def on_message_complete(self) -> None:
        self.complete += 1


def llhttp_request(data: bytes, end: int) -> Message:
    """Return what llhttp takes the first *end* bytes of *data* for, if that is one request."""
    heard = _Heard()
    parser = httptools.HttpRequestParser(heard)
    _feed(parser, data[:end], heard)
    return Message(
        (parser.get_method(), heard.url), heard.fields, heard.content, heard.trailers, end
    )


def llhttp_answer(data: bytes, end: int, *, until_close: bool) -> Message:
    """Return what llhttp takes the first *end* bytes of *data* for, if that is one answer."""
    heard = _Heard()
    parser = httptools.HttpResponseParser(heard)
    _feed(parser, data[:end], heard, until_close=until_close)
    return Message(
        (parser.get_status_code(),), heard.fields, heard.content, heard.trailers, end, until_close
    )


def _feed(
    parser: httptools.HttpRequestParser | httptools.HttpResponseParser,
    data: bytes,
    heard: _Heard,
    *,
    until_close: bool = False,
) -> None:
    try:
        parser.feed_data(data[:-1])
        if heard.complete:
            raise Unread("llhttp: it ends earlier")
        parser.feed_data(data[-1:])
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise _refusal(f"llhttp: {error!r}", data) from error
    if heard.complete != (not until_close):
        raise _refusal(f"llhttp: {heard.complete} messages", data)
    if until_close and parser.should_keep_alive():
        raise Unread("llhttp: the end of the connection is no end of it")
