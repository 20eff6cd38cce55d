"""Where bodies end: one statement of it, read to the byte, however the bytes are cut."""

import pytest

from proxy.policy import framing
from proxy.policy.framing import CHUNKED, UNTIL_CLOSE
from proxy.policy.message import Malformed, TooLarge
from tests.each import each
from tests.policy.bodies import read


def of_request(*lengths: bytes, codings: tuple[bytes, ...] = (), minor: int = 1) -> int:
    return framing.of_request(list(lengths), list(codings), minor=minor)


def of_response(
    status: int, *lengths: bytes, codings: tuple[bytes, ...] = (), minor: int = 1
) -> int:
    return framing.of_response(status, list(lengths), list(codings), minor=minor)


# What says where the end is, RFC 9112 section 6.3.


def test_a_request_that_says_nothing_has_no_body() -> None:
    """
    Only an answer may end with its connection.
    """
    assert of_request() == 0


@each(
    ("value", "length"), [(b"0", 0), (b"5", 5), (b"123456789", 123456789), (b"9" * 18, 10**18 - 1)]
)
def test_a_content_length_is_a_decimal_number(value: bytes, length: int) -> None:
    """
    Up to 18 digits: no 64-bit arithmetic behind us overflows.
    """
    assert of_request(value) == length


@each(
    "value",
    [
        b"",
        b" ",
        b"+5",
        b"-5",
        b"-0",
        b"+0",
        b"0x5",
        b"0o5",
        b"5e0",
        b"5.0",
        b"5,",
        b",5",
        b"5, 5",
        b"5,5",
        b"5, 6",
        b"1 1",
        b"1_0",
        b"5 ",
        b" 5",
        b"5\t",
        b"5\x00",
        b"5\x0b",
        b"5;",
        b'"5"',
        b"five",
        b"\xb2",
        b"\xd9\xa5",
        b"9" * 19,
        b"9" * 400,
        b"18446744073709551621",
    ],
)
def test_a_content_length_of_any_other_shape_is_refused(value: bytes) -> None:
    """
    Signs, lists, other bases, white space within, digits of other scripts, and more than 64 bits.
    """
    with pytest.raises(Malformed):
        of_request(value)


@each("values", [(b"5", b"5"), (b"5", b"6"), (b"0", b"5"), (b"5", b"")])
def test_two_content_lengths_are_refused_even_if_they_agree(values: tuple[bytes, ...]) -> None:
    """
    The recipient behind us may look at the other one.
    """
    with pytest.raises(Malformed):
        of_request(*values)


@each("coding", [b"chunked", b"Chunked", b"CHUNKED"])
def test_chunked_alone_is_understood_in_any_case(coding: bytes) -> None:
    """
    Names of codings are case-insensitive (RFC 9112 section 7).
    """
    assert of_request(codings=(coding,)) == CHUNKED


@each(
    "codings",
    [
        (b"",),
        (b"identity",),
        (b"gzip",),
        (b"gzip, chunked",),
        (b"chunked, gzip",),
        (b"chunked, identity",),
        (b"identity, chunked",),
        (b"chunked, chunked",),
        (b"chunked,",),
        (b",chunked",),
        (b", chunked",),
        (b"xchunked",),
        (b"x-chunked",),
        (b"chunkedx",),
        (b"chunk",),
        (b"chunked;q=1",),
        (b"chunked; a=b",),
        (b'"chunked"',),
        (b"'chunked'",),
        (b" chunked",),
        (b"chunked ",),
        (b"\x0bchunked",),
        (b"chunked\x0b",),
        (b"\x0cchunked",),
        (b"chunked\x00",),
        (b"chun\xc5\xbfked",),
        (b"chun\xe2\x84\xaaed",),
        (b"chunked chunked",),
        (b"chunked", b"chunked"),
        (b"chunked", b"identity"),
        (b"identity", b"chunked"),
        (b"gzip", b"chunked"),
        (b"chunked", b""),
    ],
)
def test_a_transfer_encoding_other_than_chunked_is_refused(codings: tuple[bytes, ...]) -> None:
    """
    No list, no second field, no parameter, no quotes, nothing that looks like it in Unicode.
    """
    with pytest.raises(Malformed):
        of_request(codings=codings)


@each("length", [b"0", b"5", b"", b"x"])
@each("coding", [b"chunked", b"identity", b""])
def test_a_length_beside_a_coding_is_refused(length: bytes, coding: bytes) -> None:
    """
    RFC 9112 section 6.1 lets a recipient choose; request smuggling lives from the choice.
    """
    with pytest.raises(Malformed):
        of_request(length, codings=(coding,))
    with pytest.raises(Malformed):
        of_response(200, length, codings=(coding,))


def test_a_coding_in_http_1_0_is_refused() -> None:
    """
    Its framing is faulty by definition (RFC 9112 section 6.1).
    """
    with pytest.raises(Malformed):
        of_request(codings=(b"chunked",), minor=0)
    with pytest.raises(Malformed):
        of_response(200, codings=(b"chunked",), minor=0)


def test_an_answer_that_says_nothing_ends_with_its_connection() -> None:
    """
    That is the last rule of RFC 9112 section 6.3, and holds for answers alone.
    """
    assert of_response(200) == UNTIL_CLOSE
    assert of_response(404, minor=0) == UNTIL_CLOSE


@each("status", [100, 101, 103, 199, 204, 304])
def test_some_answers_have_no_body_whatever_they_say(status: int) -> None:
    """
    Nothing, or that it is empty, as many servers say of a 204.
    """
    assert of_response(status) == 0
    assert of_response(status, b"0") == 0


def test_a_304_may_tell_of_what_it_did_not_send() -> None:
    """
    Its length or its coding (RFC 9110 section 8.6, RFC 9112 section 6.1); there is no body.
    """
    assert of_response(304, b"10") == 0
    assert of_response(304, codings=(b"chunked",)) == 0


@each("status", [100, 101, 103, 104, 199, 204])
@each(("lengths", "codings"), [((b"1",), ()), ((), (b"chunked",))])
def test_an_answer_that_has_no_body_must_not_announce_one(
    status: int, lengths: tuple[bytes, ...], codings: tuple[bytes, ...]
) -> None:
    """
    RFC 9112 section 6.1, RFC 9110 section 8.6: some would read one, and then all the rest wrong.
    """
    with pytest.raises(Malformed, match=str(status)):
        of_response(status, *lengths, codings=codings)


@each("status", [200, 204, 304])
def test_an_answer_with_two_lengths_is_refused_even_without_a_body(status: int) -> None:
    """
    An upstream that says two things can't be trusted with a connection.
    """
    with pytest.raises(Malformed):
        of_response(status, b"2", b"40")


# Counted bodies.


def test_a_counted_body_ends_at_its_length() -> None:
    """
    What is behind it is handed back.
    """
    content, rest, body = read(5, b"hel", b"loGET / HTTP/1.1")
    assert (content, rest, body.done) == (b"hello", b"GET / HTTP/1.1", True)


def test_an_empty_body_is_done_before_its_first_byte() -> None:
    """
    No byte has to come for it.
    """
    assert framing.reader(0).done


def test_a_short_body_is_not_done() -> None:
    """
    The end of the connection must not be taken for its end.
    """
    assert not read(50, b"hello")[2].done


def test_a_body_until_close_is_never_done() -> None:
    """
    Everything is content.
    """
    content, rest, body = read(UNTIL_CLOSE, b"a", b"0\r\n\r\n")
    assert (content, rest, body.done) == (b"a0\r\n\r\n", b"", False)


# Chunked bodies, RFC 9112 section 7.1.

NEXT = b"GET /next HTTP/1.1\r\n"


def chunked(data: bytes) -> tuple[bytes, bytes, framing.Body]:
    return read(CHUNKED, data)


@each(
    ("data", "content"),
    [
        (b"0\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world"),
        (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"5;a\r\nhello\r\n0;b=c\r\n\r\n", b"hello"),
        (b'5;a="b;c";d\r\nhello\r\n0\r\n\r\n', b"hello"),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
        (b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
        (b"0005\r\nhello\r\n000\r\n\r\n", b"hello"),
    ],
)
def test_a_chunked_body_is_decoded(data: bytes, content: bytes) -> None:
    """
    Extensions are ignored, sizes are hexadecimal in either case, content is opaque.
    """
    found, rest, body = chunked(data + NEXT)
    assert (found, rest, body.done, body.trailers) == (content, NEXT, True, b"")


def test_a_chunked_body_may_come_byte_by_byte() -> None:
    """
    The extreme of all cuts, which random ones seldom reach.
    """
    encoded = b"5;a=b\r\nhello\r\n0\r\nX-T: 1\r\n\r\n" + NEXT
    content, rest, body = read(CHUNKED, *[encoded[i : i + 1] for i in range(len(encoded))])
    assert (content, rest, body.trailers) == (b"hello", NEXT, b"X-T: 1\r\n")


@each(
    "data",
    [
        pytest.param(b"\r\n", id="no size"),
        pytest.param(b"g\r\n", id="no digit"),
        pytest.param(b"-5\r\nhello\r\n", id="minus"),
        pytest.param(b"+5\r\nhello\r\n", id="plus"),
        pytest.param(b"0x5\r\nhello\r\n", id="0x"),
        pytest.param(b"5_0\r\nhello\r\n", id="underscore"),
        pytest.param(b" 5\r\nhello\r\n", id="space before"),
        pytest.param(b"\t5\r\nhello\r\n", id="tab before"),
        pytest.param(b"5 0\r\nhello\r\n", id="space within"),
        pytest.param(b"5.0\r\nhello\r\n", id="point"),
        pytest.param(b"5\x00\r\nhello\r\n", id="NUL"),
        pytest.param(b"5\nhello\r\n", id="bare LF behind the size"),
        pytest.param(b"5\rhello\r\n", id="bare CR behind the size"),
        pytest.param(b"5\r\r\nhello\r\n", id="two CRs behind the size"),
        pytest.param(b"5\r\nhello0\r\n\r\n", id="nothing behind the content"),
        pytest.param(b"5\r\nhello\n0\r\n\r\n", id="bare LF behind the content"),
        pytest.param(b"5\r\nhello\r0\r\n\r\n", id="bare CR behind the content"),
        pytest.param(b"5\r\nhelloXX0\r\n\r\n", id="more content than said"),
        pytest.param(b"5\r\nhell\r\n0\r\n\r\n", id="less content than said"),
        pytest.param(b"5;a\nb\r\nhello\r\n", id="bare LF in an extension"),
        pytest.param(b"5;a\rb\r\nhello\r\n", id="bare CR in an extension"),
        pytest.param(b"5;a\x00\r\nhello\r\n", id="NUL in an extension"),
        pytest.param(b"5;a\x7f\r\nhello\r\n", id="DEL in an extension"),
        pytest.param(b"10000000000000000\r\n", id="65 bits"),
        pytest.param(b"fffffffffffffffff\r\nhello", id="68 bits"),
        pytest.param(b"8000000000000000\r\n", id="the sign bit"),
        pytest.param(b"0000000000000005\r\nhello\r\n", id="16 digits"),
        pytest.param(b"\xb2\r\nhi\r\n", id="a superscript digit"),
        pytest.param(b"5, 5\r\nhello\r\n", id="a list"),
    ],
)
def test_a_chunk_of_any_other_shape_is_refused(data: bytes) -> None:
    """
    RFC 9112 section 7.1 to the letter: whoever repairs one of these disagrees with another.
    """
    with pytest.raises(Malformed):
        chunked(data + b"0\r\n\r\n")


@each("data", [b"g", b"-", b" ", b"0x", b"5\n", b"\n", b"5;\x00", b"5\rX"])
def test_a_hopeless_chunk_line_is_told_before_it_ends(data: bytes) -> None:
    """
    Nobody waits for bytes that can't help.
    """
    with pytest.raises(Malformed):
        chunked(data)


def test_an_extension_may_not_be_long() -> None:
    """
    It has no use, and reading it costs (CVE-2023-39326); complete or not, it is over the bound.
    """
    for end in (b"", b"\r\nhello\r\n0\r\n\r\n"):
        with pytest.raises(Malformed):
            chunked(b"5;" + b"a" * 300 + end)


def test_an_unfinished_body_is_not_done() -> None:
    """
    Whatever is missing, the end of the connection must not pass for the end of the body.
    """
    whole = b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"
    for length in range(len(whole)):
        assert not chunked(whole[:length])[2].done


# Trailers, RFC 9110 section 6.5.


def test_trailers_are_written_afresh() -> None:
    """
    White space around values is not passed on; order, spelling and duplicates are.
    """
    body = chunked(b"0\r\nX-T:1\r\nx-t:\t 2 \r\n\r\n")[2]
    assert (body.done, body.trailers) == (True, b"X-T: 1\r\nx-t: 2\r\n")


@each(
    "name",
    [
        b"Authorization",
        b"AUTHORIZATION",
        b"Proxy-Authorization",
        b"Connection",
        b"Content-Length",
        b"content_length",
        b"Content-Encoding",
        b"Content-Type",
        b"Content-Range",
        b"Cookie",
        b"Expect",
        b"Forwarded",
        b"Host",
        b"Keep-Alive",
        b"Max-Forwards",
        b"Set-Cookie",
        b"TE",
        b"Trailer",
        b"Transfer-Encoding",
        b"Transfer_Encoding",
        b"Upgrade",
        b"Via",
        b"X-Forwarded-For",
        b"x_forwarded_for",
    ],
)
def test_a_trailer_that_frames_routes_or_authenticates_is_refused(name: bytes) -> None:
    """
    An upstream that merges trailers into the head would be talked out of what the head said.
    """
    with pytest.raises(Malformed, match="trailer"):
        chunked(b"0\r\n%b: 1\r\n\r\n" % name)


@each(
    "trailer",
    [
        b"X-T : 1\r\n",
        b" X-T: 1\r\n",
        b"X-T: 1\r\n 2\r\n",
        b"X-T\r\n",
        b": 1\r\n",
        b"X-T: 1\nX-U: 2\r\n",
        b"X-T: a\rb\r\n",
        b"X-T: a\x00\r\n",
    ],
)
def test_a_malformed_trailer_is_refused(trailer: bytes) -> None:
    """
    The grammar of trailers is that of fields.
    """
    with pytest.raises(Malformed):
        chunked(b"0\r\n" + trailer + b"\r\n" + NEXT)


def test_the_trailer_section_is_bounded() -> None:
    """
    In bytes, whether it ends or not, and in fields.
    """
    with pytest.raises(TooLarge):
        chunked(b"0\r\nX-T: " + b"a" * 9000)
    with pytest.raises(TooLarge):
        chunked(b"0\r\n" + b"X-T: 1\r\n" * 33 + b"\r\n")
