"""The grammar of heads: what is understood, and what is refused rather than repaired."""

import string

import pytest

from proxy.policy import message
from proxy.policy.message import Malformed, TooLarge, TooLong
from tests.each import each

LIMIT = 100


def line(text: bytes) -> tuple[bytes, bytes, int]:
    return message.request_line(text, target_bytes=64)


def fields(block: bytes) -> message.Fields:
    return message.fields(block, limit=LIMIT)


# The request line, RFC 9112 section 3.


def test_a_request_line_is_method_target_and_version() -> None:
    """
    Method and target come out as the bytes that came in, the version as its minor digit.
    """
    assert line(b"GET /a?b HTTP/1.1") == (b"GET", b"/a?b", 1)
    assert line(b"M-SEARCH * HTTP/1.0") == (b"M-SEARCH", b"*", 0)


def test_a_method_is_taken_as_it_is_spelt() -> None:
    """
    Methods are case-sensitive (RFC 9110 section 9.1): a lower-case one is not made upper-case.
    """
    assert line(b"get / HTTP/1.1")[0] == b"get"


@each(
    "text",
    [
        pytest.param(b"GET / HTTP/1.1 ", id="space at the end"),
        pytest.param(b" GET / HTTP/1.1", id="space at the start"),
        pytest.param(b"GET  / HTTP/1.1", id="two spaces"),
        pytest.param(b"GET /  HTTP/1.1", id="two spaces before the version"),
        pytest.param(b"GET\t/ HTTP/1.1", id="tab for space"),
        pytest.param(b"GET /\tHTTP/1.1", id="tab before the version"),
        pytest.param(b"GET\x0b/ HTTP/1.1", id="vertical tab for space"),
        pytest.param(b"GET\xa0/ HTTP/1.1", id="no-break space"),
        pytest.param(b"GET HTTP/1.1", id="no target"),
        pytest.param(b"GET  HTTP/1.1", id="empty target"),
        pytest.param(b"/ HTTP/1.1", id="no method"),
        pytest.param(b"", id="nothing"),
        pytest.param(b" ", id="white space alone"),
        pytest.param(b"GET /a b HTTP/1.1", id="space in the target"),
        pytest.param(b"GET /a\x00 HTTP/1.1", id="NUL in the target"),
        pytest.param(b"GET /a\x01 HTTP/1.1", id="control character in the target"),
        pytest.param(b"GET /a\x7f HTTP/1.1", id="DEL in the target"),
        pytest.param(b"GET /caf\xc3\xa9 HTTP/1.1", id="UTF-8 in the target"),
        pytest.param(b"GET /\xc0\xaf HTTP/1.1", id="overlong UTF-8 in the target"),
        pytest.param(b"GET /\r HTTP/1.1", id="bare CR"),
        pytest.param(b"GET / HTTP/1.1\rX", id="bare CR behind the version"),
        pytest.param(b"GET /\nX HTTP/1.1", id="bare LF"),
        pytest.param(b"G[T / HTTP/1.1", id="bracket in the method"),
        pytest.param(b"G\xc9T / HTTP/1.1", id="high byte in the method"),
        pytest.param(b"GET: / HTTP/1.1", id="colon in the method"),
        pytest.param(b'"GET" / HTTP/1.1', id="quoted method"),
        pytest.param(b"\xef\xbb\xbfGET / HTTP/1.1", id="byte order mark"),
        pytest.param(b"\x16\x03\x01\x02\x00", id="TLS"),
        pytest.param(b"HTTP/1.1 200 OK", id="a status line"),
    ],
)
def test_a_request_line_of_any_other_shape_is_refused(text: bytes) -> None:
    """
    One space, one target, one version: anything else was crafted or is no HTTP.
    """
    with pytest.raises(Malformed):
        line(text)


@each(
    "version",
    [
        b"HTTP/0.9",
        b"HTTP/1",
        b"HTTP/1.",
        b"HTTP/1.2",
        b"HTTP/1.10",
        b"HTTP/01.1",
        b"HTTP/1.01",
        b"HTTP/1.1.1",
        b"HTTP/ 1.1",
        b"HTTP/1 .1",
        b"HTTP/2.0",
        b"HTTP/3",
        b"HTTP/9.9",
        b"HTTP/-1.1",
        b"HTTP/1,1",
        b"HTTP/1.x",
        b"HTTP /1.1",
        b"HTTP\\1.1",
        b"http/1.1",
        b"Http/1.1",
        b"HTTPS/1.1",
        b"XTTP/1.1",
        b"RTSP/1.0",
        b"ICE/1.1",
        b"",
    ],
)
def test_a_version_other_than_1_0_and_1_1_is_refused(version: bytes) -> None:
    """
    What a message of another version means is not for us to guess (RFC 9112 section 2.3).
    """
    with pytest.raises(Malformed):
        line(b"GET / " + version)


def test_http_0_9_is_refused() -> None:
    """
    A request without a version would be answered without a head.
    """
    with pytest.raises(Malformed):
        line(b"GET /")


def test_the_preface_of_http_2_is_refused() -> None:
    """
    A client that speaks HTTP/2 with prior knowledge is told at its first line.
    """
    with pytest.raises(Malformed, match="version"):
        line(b"PRI * HTTP/2.0")


def test_a_target_over_its_limit_is_too_large_and_one_at_it_is_not() -> None:
    """
    The refusal names the key that changes it.
    """
    assert len(line(b"GET /%b HTTP/1.1" % (b"a" * 63))[1]) == 64
    with pytest.raises(TooLong, match=r"limits\.target_bytes"):
        line(b"GET /%b HTTP/1.1" % (b"a" * 64))


# The status line, RFC 9112 section 4.


@each(
    ("text", "meaning"),
    [
        (b"HTTP/1.1 200 OK", (200, b"OK", 1)),
        (b"HTTP/1.0 404 Not Found", (404, b"Not Found", 0)),
        (b"HTTP/1.1 200 ", (200, b"", 1)),
        (b"HTTP/1.1 200", (200, b"", 1)),
        (b"HTTP/1.1 599 caf\xe9", (599, b"caf\xe9", 1)),
    ],
)
def test_a_status_line_is_status_reason_and_version(
    text: bytes, meaning: tuple[int, bytes, int]
) -> None:
    """
    A reason may be empty, and servers leave out the space before it.
    """
    assert message.status_line(text)[0] == meaning[0]
    assert message.status_line(text)[-1] == meaning[2]


@each(
    "text",
    [
        b"",
        b"200 OK",
        b"HTTP/1.1",
        b"HTTP/1.1 ",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1\t200 OK",
        b"HTTP/1.1 99 Odd",
        b"HTTP/1.1 099 Odd",
        b"HTTP/1.1 600 Odd",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 +20 OK",
        b"HTTP/1.1 20\xb2 OK",
        b"HTTP/1.1 200OK",
        b"HTTP/1.1 200\tOK",
        b"HTTP/1.1 200 O\x00K",
        b"HTTP/1.1 200 O\rK",
        b"HTTP/1.1 200 O\x1bK",
        b"HTTP/2.0 200 OK",
        b"HTTP/1.2 200 OK",
        b"http/1.1 200 OK",
        b"ICY 200 OK",
        b" HTTP/1.1 200 OK",
        b"<html>",
    ],
)
def test_a_status_line_of_any_other_shape_is_refused(text: bytes) -> None:
    """
    An answer that can't be read in one way only is the upstream's error, not the client's puzzle.
    """
    with pytest.raises(Malformed):
        message.status_line(text)


# Field lines, RFC 9112 section 5.


def test_fields_keep_their_order_spelling_and_duplicates() -> None:
    """
    Names and values come out as the bytes that came in.
    """
    block = b"X-A: 1\r\nx-a: 2\r\nCoOkIe: a=b; c\r\nX-A: 3\r\n"
    assert fields(block) == [
        (b"X-A", b"1"),
        (b"x-a", b"2"),
        (b"CoOkIe", b"a=b; c"),
        (b"X-A", b"3"),
    ]


def test_a_block_without_lines_has_no_fields() -> None:
    """
    HTTP/1.0 asks for none.
    """
    assert fields(b"") == []


@each(
    "value",
    [b"caf\xe9", b"\xc3\xa9", b"\xff", b"a\tb", b"a  b", b'"a', b":", b"::", b"a:b", b"\x80"],
)
def test_a_value_may_have_high_bytes_tabs_and_colons(value: bytes) -> None:
    """
    obs-text is opaque data to pass on (RFC 9110 section 5.5).
    """
    assert fields(b"X-A: %b\r\n" % value) == [(b"X-A", value)]


CONTROLS = [octet for octet in range(0x20) if octet != 0x09] + [0x7F]


@each("value", [b"%c", b"a%c", b"%ca", b"a%cb", b" %c "])
def test_no_control_character_but_the_tab_stands_in_a_value(value: bytes) -> None:
    """
    CR, LF and NUL are dangerous (RFC 9110 section 5.5), and the others have no meaning to anyone.
    """
    for octet in CONTROLS:
        with pytest.raises(Malformed):
            fields(b"X-A:" + value % octet + b"\r\n")


NO_TOKEN = sorted(
    set(range(256))
    - set(b"!#$%&'*+-.^_`|~:")
    - set(string.ascii_letters.encode() + string.digits.encode())
)


@each("name", [b"%c", b"X%c", b"%cX", b"X%cA"])
def test_a_name_is_a_token_and_nothing_else(name: bytes) -> None:
    """
    No white space, separator, control character or high byte: RFC 9110 section 5.6.2.
    """
    for octet in NO_TOKEN:
        with pytest.raises(Malformed):
            fields(name % octet + b": b\r\n")


@each(
    "block",
    [
        pytest.param(b"X-A : b\r\n", id="space before the colon"),
        pytest.param(b"X-A\t: b\r\n", id="tab before the colon"),
        pytest.param(b"Transfer-Encoding : chunked\r\n", id="space before a framing colon"),
        pytest.param(b"X A: b\r\n", id="space in the name"),
        pytest.param(b": b\r\n", id="no name"),
        pytest.param(b"\r\n", id="an empty line"),
        pytest.param(b"X-A: b\r\n\r\n", id="an empty line behind"),
        pytest.param(b"garbage\r\n", id="no colon"),
        pytest.param(b"X-A\r\n", id="a name alone"),
        pytest.param(b"X-A: b\r\n c\r\n", id="folded with a space"),
        pytest.param(b"X-A: b\r\n\tc\r\n", id="folded with a tab"),
        pytest.param(b"X-A:\r\n b\r\n", id="folded, the first line empty"),
        pytest.param(b" X-A: b\r\n", id="white space before the first name"),
        pytest.param(b"\tX-A: b\r\n", id="a tab before the first name"),
        pytest.param(b" \r\nX-A: b\r\n", id="white space alone first"),
        pytest.param(b"X-A: b\n", id="bare LF"),
        pytest.param(b"X-A: b\nX-B: c\r\n", id="bare LF between"),
        pytest.param(b"X-A: b\r", id="bare CR"),
        pytest.param(b"X-A: b\rX-B: c\r\n", id="bare CR between"),
        pytest.param(b"X-A: b\r\r\n", id="two CRs"),
        pytest.param(b"X-A: b\n\r\n", id="LF CR LF"),
        pytest.param(b"X-A: b", id="no end"),
        pytest.param(b"X-A: b\x85X-B: c\x85", id="next line"),
        pytest.param(b"X\xe2\x80\x90A: b\r\n", id="a Unicode hyphen"),
    ],
)
def test_a_block_of_any_other_shape_is_refused(block: bytes) -> None:
    """
    Each of these has been read in two ways by two parsers.
    """
    with pytest.raises(Malformed):
        fields(block)


def test_what_is_wrong_is_told_with_its_line() -> None:
    """
    The client learns which line, not what stood in it.
    """
    with pytest.raises(Malformed, match="line 2 is folded"):
        fields(b"X-A: b\r\n c\r\n")
    with pytest.raises(Malformed, match="line 1 has no colon"):
        fields(b"s3cret\r\n")


def test_fields_beyond_the_limit_are_too_many() -> None:
    """
    The refusal names the key; exactly the limit passes.
    """
    assert len(message.fields(b"A: b\r\n" * 3, limit=3)) == 3
    with pytest.raises(TooLarge, match=r"limits\.head_fields"):
        message.fields(b"A: b\r\n" * 4, limit=3)


# Heads that are not whole yet.


@each(
    "partial",
    [
        b"",
        b"G",
        b"GET",
        b"GET / HTTP/1.1\r",
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX",
        b"\r",
    ],
)
def test_the_start_of_a_head_is_not_hopeless(partial: bytes) -> None:
    """
    A head may come in any pieces.
    """
    assert message.hopeless(partial) == ""


@each(
    "partial",
    [
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\r\nHost: a\n\n",
        b"GET / HTTP/1.1\rX",
        b"\n",
        b" GET /",
        b"\tGET /",
        b"GET /\x00",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\x00",
        b"\xff\xfe",
        b"\r\r",
    ],
)
def test_what_can_never_become_a_head_is_told_at_once(partial: bytes) -> None:
    """
    A client that ends lines with LF, or speaks TLS, does not wait for a time-out to hear of it.
    """
    assert message.hopeless(partial)


# Lists, RFC 9110 section 5.6.1.


@each(
    ("value", "members"),
    [
        (b"", []),
        (b",", []),
        (b"close", [b"close"]),
        (b"Close", [b"close"]),
        (b" keep-alive ,, X-A\t,", [b"keep-alive", b"x-a"]),
        (b"a b", [b"a b"]),
    ],
)
def test_a_list_has_its_members_in_lower_case_without_empty_ones(
    value: bytes, members: list[bytes]
) -> None:
    """
    A recipient ignores empty elements.
    """
    assert message.options(value) == members


@each("name", [b"Host", b"x_y", b"!", b"0"])
def test_a_token_is_told_from_what_is_none(name: bytes) -> None:
    """
    A token has no separator, no white space and at least one character.
    """
    assert message.is_token(name)
    assert not any(
        message.is_token(bad) for bad in (b"", name + b" ", name + b"\n", name + b"\xe9")
    )
