"""Byte streams near the border of HTTP: fragments that are right, nearly right and wrong, mixed."""

import os
from collections.abc import Callable
from random import Random

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

# How many cases a test looks at.
CASES = int(os.environ.get("FUZZ_CASES", "2000"))
# Building a stream costs far more than reading it three times: each is tried with its mutants.
MUTANTS = 9

# One in three fragments is a trap; more, and hardly any stream would be forwarded.
_METHODS = [b"GET", b"GET", b"POST", b"POST", b"HEAD", b"PUT", b"OPTIONS", b"DELETE", b"PATCH"]
_TARGETS = [
    b"/a",
    b"/a?b=c&d",
    b"/",
    b"/a%2Fb//c;p=1?x=%20+",
    b"*",
    b"http://api.example/v1/a",
    b"https://api.example:443/v1?x",
    b"/a..b/.well-known/...",
    b"/../a",
    b"/a#b",
    b"/\xe9",
    b"/a b",
]
_VERSIONS = [b"HTTP/1.1"] * 9 + [b"HTTP/1.0", b"HTTP/1.0", b"HTTP/1.2", b"http/1.1", b"HTTP/2.0"]
_NAMES = [
    b"X-A",
    b"x-a",
    b"Accept",
    b"Cookie",
    b"Content-Length",
    b"Transfer-Encoding",
    b"transfer-encoding",
    b"Transfer_Encoding",
    b"Connection",
    b"Upgrade",
    b"TE",
    b"Trailer",
    b"Expect",
    b"Authorization",
    b"X-Request-Id",
    b"Host",
    b"Via",
    b"Date",
]
_VALUES = [
    b"",
    b"0",
    b"3",
    b"5",
    b"05",
    b"+3",
    b"3, 3",
    b"0x3",
    b"a",
    b"a b\tc",
    b"caf\xe9",
    b"chunked",
    b"Chunked",
    b"gzip, chunked",
    b"identity",
    b"chunked, chunked",
    b"close",
    b"keep-alive",
    b"Upgrade",
    b"websocket",
    b"h2c",
    b"trailers",
    b"x-a, te",
    b"content-length",
    b"100-continue",
    b"localhost",
    b"evil.example",
    b"a\x00b",
    b"a\rb",
    b'"a;b"',
]
_SEPARATORS = [b": "] * 8 + [b":", b":", b": \t", b" : ", b"\t:", b" ", b":\r\n "]
_ENDS = [b"\r\n"] * 16 + [b" \r\n", b"\t\r\n", b"\n", b"\r", b"\r\r\n"]
_CHUNKS = [
    b"3\r\nabc\r\n",
    b"3\r\nabc\r\n",
    b"5\r\n0\r\n\r\n\r\n",
    b"A\r\n0123456789\r\n",
    b"003\r\nabc\r\n",
    b"3;a=b\r\nabc\r\n",
    b'3;a="b;c"\r\nabc\r\n',
    b"3 ;a\r\nabc\r\n",
    b"3;\r\nabc\r\n",
    b"3 \r\nabc\r\n",
    b"3\nabc\r\n",
    b"3\r\nabc\n",
    b"3\r\nabcd\r\n",
    b"-3\r\nabc\r\n",
    b"0x3\r\nabc\r\n",
    b"3;a\rb\r\nabc\r\n",
    b"fffffffffffffffff\r\nabc",
]
_LAST = [
    b"0\r\n\r\n",
    b"0\r\n\r\n",
    b"0\r\n\r\n",
    b"0\r\nX-T: 1\r\n\r\n",
    b"0\r\nX-T:1 \r\nx-t:\t2\r\n\r\n",
    b"00\r\n\r\n",
    b"0;a\r\n\r\n",
    b"0\n\n",
    b"0\r\n\n",
    b"0\r\nContent-Length: 3\r\n\r\n",
    b"0\r\n X-T: 1\r\n\r\n",
    b"",
]
_BODIES = [b"", b"", b"abc", b"hello", b"0\r\n\r\n", b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n"]
_STATUSES = [b"200 OK", b"200 OK", b"404 Not Found", b"204 No Content", b"304 Not Modified"]
_STATUSES += [b"200", b"200 ", b"500 caf\xe9", b"100 Continue", b"103 Hints", b"99 Odd", b"600 Odd"]

_fields = st.builds(
    lambda name, separator, value, end: name + separator + value + end,
    st.sampled_from(_NAMES),
    st.sampled_from(_SEPARATORS),
    st.sampled_from(_VALUES),
    st.sampled_from(_ENDS),
)
_harmless = st.sampled_from(
    [
        b"X-A: 1\r\n",
        b"x-a:b \t\r\n",
        b"Accept: */*\r\n",
        b"Cookie: a=b; c=d\r\n",
        b"Connection: keep-alive, x-a\r\n",
        b"TE: trailers\r\n",
        b"Authorization: Basic eDp5\r\n",
        b"X-Empty:\r\n",
        b"X-High:\tcaf\xe9\r\n",
        b"X-Forwarded-For: 1\r\n",
    ]
)
_any_fields = st.lists(st.one_of(_harmless, _harmless, _fields), max_size=3)
_lengths = st.sampled_from([b"Content-Length: %d\r\n" % n for n in (0, 3, 5)])
_chunked_body = st.builds(
    lambda chunks, last: b"".join(chunks) + last,
    st.lists(st.sampled_from(_CHUNKS), max_size=3),
    st.sampled_from(_LAST),
)
_odd_lengths = st.sampled_from([b"+3", b"03", b"3,3", b"3;", b"0x3", b"3 3", b"-3", b"3.0"]).map(
    lambda length: b"Content-Length: " + length + b"\r\n"
)
# What frames the body, and a body: in accord, mostly.
_framed = st.one_of(
    st.tuples(st.just(b"Transfer-Encoding: chunked\r\n"), _chunked_body),
    st.tuples(st.just(b"Content-Length: 3\r\n"), st.just(b"abc")),
    st.tuples(st.just(b"Content-Length: 5\r\n"), st.just(b"hello")),
    st.tuples(st.just(b""), st.just(b"")),
    st.tuples(_lengths, st.sampled_from(_BODIES)),
    st.tuples(_odd_lengths, st.just(b"abc")),
)


def _request(
    method: bytes,
    target: bytes,
    version: bytes,
    host: bytes,
    framed: tuple[bytes, bytes],
    fields: list[bytes],
) -> bytes:
    line = b"%b %b %b\r\n" % (method, target, version)
    return line + host + framed[0] + b"".join(fields) + b"\r\n" + framed[1]


_requests = st.builds(
    _request,
    st.sampled_from(_METHODS),
    st.sampled_from(_TARGETS),
    st.sampled_from(_VERSIONS),
    st.sampled_from([b"Host: localhost\r\n"] * 6 + [b"Host:a:80 \r\n", b""]),
    _framed,
    _any_fields,
)
_answers = st.builds(
    lambda version, status, framed, fields: (
        version + b" " + status + b"\r\n" + framed[0] + b"".join(fields) + b"\r\n" + framed[1]
    ),
    st.sampled_from(_VERSIONS),
    st.sampled_from(_STATUSES),
    _framed,
    _any_fields,
)

_OCTETS = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\x00",
    b" ",
    b"\t",
    b":",
    b"0",
    b"a",
    b";",
    b",",
    b"\xff",
    b"\x0b",
]


def mutated(stream: bytes, chance: Random) -> bytes:
    """Return *stream* with one or two small things done to it, near line ends more often."""
    for _ in range(chance.randint(1, 2)):
        at = _place(stream, chance)
        match chance.randrange(6):
            case 0:
                stream = stream[:at] + chance.choice(_OCTETS) + stream[at:]
            case 1:
                stream = stream[:at] + stream[at + chance.randint(1, 2) :]
            case 2:
                stream = stream[:at] + chance.choice(_OCTETS) + stream[at + 1 :]
            case 3:
                stream = stream[:at] + stream[at : at + 1].swapcase() + stream[at + 1 :]
            case 4:  # a line, or a piece of one, once more
                start, end = sorted((at, _place(stream, chance)))
                stream = stream[:end] + stream[start:]
            case _:
                other = stream[_place(stream, chance) :][: chance.randint(1, 30)]
                stream = stream[:at] + other + stream[at:]
    return stream


def _place(stream: bytes, chance: Random) -> int:
    at = chance.randrange(len(stream) + 1)
    if chance.random() < 0.5:
        return at
    return max(0, stream.find(b"\r\n", at)) + chance.randint(0, 2)


def _streams(messages: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(messages, min_size=1, max_size=3).map(b"".join)


requests = _streams(_requests)
answers = _streams(_answers)


def cases(built: st.SearchStrategy[bytes], number: int, check: Callable[[bytes], None]) -> None:
    """
    Have *check* look at *number* of streams: some as built, the most as mutants of those.

    The same ones every time unless FUZZ_CASES is set. A failure says with which bytes.
    """

    @settings(
        max_examples=max(1, number // (1 + MUTANTS)),
        derandomize="FUZZ_CASES" not in os.environ,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(stream=built, seed=st.integers(0, 2**32))
    def run(stream: bytes, seed: int) -> None:
        chance = Random(seed)
        for case in (stream, *(mutated(stream, chance) for _ in range(MUTANTS))):
            try:
                check(case)
            except Exception as error:
                error.add_note(repr(case))
                raise

    run()
