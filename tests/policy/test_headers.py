"""What a field's name means, and who may say it."""

from proxy.policy import headers
from proxy.policy.headers import Kind
from tests.each import each


@each(
    ("name", "kind"),
    [
        (b"Connection", Kind.CONNECTION),
        (b"Proxy-Connection", Kind.HOP_BY_HOP),
        (b"Proxy-Authorization", Kind.HOP_BY_HOP),
        (b"Proxy-Authenticate", Kind.HOP_BY_HOP),
        (b"HTTP2-Settings", Kind.HOP_BY_HOP),
        (b"Keep-Alive", Kind.KEEP_ALIVE),
        (b"TE", Kind.TE),
        (b"Upgrade", Kind.UPGRADE),
        (b"Transfer-Encoding", Kind.TRANSFER_ENCODING),
        (b"Content-Length", Kind.CONTENT_LENGTH),
        (b"Authorization", Kind.OWNED),
        (b"Host", Kind.HOST),
        (b"Forwarded", Kind.FORGEABLE),
        (b"X-Forwarded-For", Kind.FORGEABLE),
        (b"X-Forwarded-Anything", Kind.FORGEABLE),
        (b"X-Real-IP", Kind.FORGEABLE),
        (b"X-Original-URL", Kind.FORGEABLE),
        (b"X-Rewrite-URL", Kind.FORGEABLE),
        (b"X-HTTP-Method-Override", Kind.METHOD_OVERRIDE),
        (b"X-HTTP-Method", Kind.METHOD_OVERRIDE),
        (b"X-Method-Override", Kind.METHOD_OVERRIDE),
        (b"X-Request-Id", Kind.REQUEST_ID),
    ],
)
def test_a_name_means_the_same_in_any_case(name: bytes, kind: Kind) -> None:
    """
    RFC 9110 section 5.1.
    """
    assert headers.kind_of(name) is kind
    assert headers.kind_of(name.lower()) is kind
    assert headers.kind_of(name.upper()) is kind


@each("name", [b"Accept", b"Cookie", b"Set-Cookie", b"X-Forwarded", b"Trailer", b"Hosts"])
def test_any_other_name_passes_unseen(name: bytes) -> None:
    """
    What the proxy does not know is none of its business.
    """
    assert headers.kind_of(name) is Kind.END_TO_END


@each(
    "name",
    [
        b"Transfer_Encoding",
        b"content_length",
        b"X_Forwarded_For",
        b"X-Forwarded_For",
        b"Proxy_Authorization",
        b"X_HTTP_Method_Override",
        b"X_Request_Id",
    ],
)
def test_an_underscore_counts_as_a_hyphen_and_is_never_obeyed(name: bytes) -> None:
    """
    CGI can't tell the two apart, so such a field would reach an application as the real thing.
    """
    assert headers.kind_of(name) is Kind.FORGEABLE


def test_an_underscore_in_an_unknown_name_is_harmless() -> None:
    """
    Applications have such fields.
    """
    assert headers.kind_of(b"X_My_Field") is Kind.END_TO_END


def test_connection_options_are_collected_from_all_values() -> None:
    """
    In lower case; empty members are none (RFC 9110 section 5.6.1).
    """
    assert headers.nominated([b"close, X-A", b",", b" TE\t,,x-b"]) == {
        b"close",
        b"x-a",
        b"te",
        b"x-b",
    }
    assert headers.nominated([]) == frozenset()


@each("value", [b"a", b"a" * 128, b"0af7651916cd43dd-8448eb211c80319c", b"A/b+c=:@~_.d"])
def test_an_id_that_is_safe_in_any_log_is_taken_on(value: bytes) -> None:
    """
    Up to 128 characters.
    """
    assert headers.acceptable_request_id(value)


@each(
    "value",
    [b"", b"a" * 129, b"a b", b'a"', b"a\n", b"a\r\nb", b"\xe9", b"<a>", b"a,b", b"a;b", b"a\x1b"],
)
def test_any_other_id_is_not(value: bytes) -> None:
    """
    It would have to be escaped wherever it is shown.
    """
    assert not headers.acceptable_request_id(value)


@each(
    ("via", "ours"),
    [
        (b"1.1 bearer-proxy", True),
        (b"1.1 a, 1.0 Bearer-Proxy (x)", True),
        (b"HTTP/1.1  bearer-proxy", True),
        (b"1.1 bearer-proxy2", False),
        (b"1.1 a (bearer-proxy)", False),
        (b"bearer-proxy", False),
        (b"", False),
        (b",,", False),
    ],
)
def test_a_loop_shows_in_via(via: bytes, ours: bool) -> None:
    """
    RFC 9110 section 7.6.3: by the name of who received it, and not by a comment.
    """
    assert headers.went_through_us(via) is ours
    assert headers.went_through_us(headers.VIA.partition(b": ")[2].strip())


def test_fields_are_written_in_their_order_and_spelling() -> None:
    """
    One line each.
    """
    pairs = [(b"b", b"1"), (b"A", b""), (b"b", b"2")]
    assert headers.serialise(pairs) == b"b: 1\r\nA: \r\nb: 2\r\n"
    assert headers.request_id_line(b"x") == b"X-Request-Id: x\r\n"
