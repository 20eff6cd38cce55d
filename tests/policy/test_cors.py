"""Pages that may call: answered in the browser's own protocol, and nobody else is."""

from proxy.policy import access, cors
from proxy.policy.access import EVERYTHING, Access
from proxy.policy.admission import Admission
from proxy.policy.cors import Preflight
from tests.each import each

PAGE = b"https://page.example"
RULES = Admission(origins=frozenset({PAGE, b"https://other.example"}))
CLOSED = Admission()


def preflight(
    *fields: tuple[bytes, bytes], origins: tuple[bytes, ...] = (PAGE,), rules: Admission = RULES
) -> Preflight | None:
    values: dict[bytes, list[bytes]] = {b"origin": list(origins)} if origins else {}
    for name, value in fields:
        values.setdefault(name, []).append(value)
    return cors.preflight(values, rules)


def answer(*fields: tuple[bytes, bytes], rules: Access = EVERYTHING) -> list[bytes]:
    """Return the lines that answer a preflight with these *fields*."""
    asked = preflight(*fields)
    assert asked is not None
    return cors.answer(asked, rules).split(b"\r\n")[:-1]


# Preflights.


def test_a_preflight_is_an_allowed_origin_and_a_method() -> None:
    """
    Origin as the browser spelt it; the fields are asked for one by one.
    """
    asked = preflight(
        (cors.METHOD, b"PUT"), (cors.FIELDS, b"X-A, content-type"), (cors.FIELDS, b"x-b")
    )
    assert asked == Preflight(PAGE, b"PUT", (b"x-a", b"content-type", b"x-b"), False)


@each(
    "origins",
    [
        (),
        (b"https://evil.example",),
        (PAGE, PAGE),
        (b"null",),
        (b"*",),
        (PAGE + b".evil",),
        (PAGE + b":443",),
    ],
)
def test_a_preflight_of_any_other_origin_is_none_of_ours(origins: tuple[bytes, ...]) -> None:
    """
    Admission refuses it, as it refuses every foreign request.
    """
    assert preflight((cors.METHOD, b"PUT"), origins=origins) is None


def test_without_allowed_origins_there_are_no_preflights() -> None:
    """
    The filter decides, not the fields.
    """
    assert preflight((cors.METHOD, b"PUT"), rules=CLOSED) is None


@each("methods", [(), (b"PUT", b"GET"), (b"",), (b"P T",), (b"PUT\x00",)])
def test_a_preflight_asks_for_one_method(methods: tuple[bytes, ...]) -> None:
    """
    Anything else is an ordinary OPTIONS request.
    """
    assert preflight(*((cors.METHOD, method) for method in methods)) is None


def test_the_answer_names_back_one_origin_and_what_was_asked_for() -> None:
    """
    Never ``*``, never a list, and for ten minutes.
    """
    lines = answer((cors.METHOD, b"PUT"), (cors.FIELDS, b"x-a, x-b"))
    assert b"Access-Control-Allow-Origin: https://page.example" in lines
    assert b"Access-Control-Allow-Methods: PUT" in lines
    assert b"Access-Control-Allow-Headers: x-a, x-b" in lines
    assert b"Access-Control-Max-Age: 600" in lines
    assert any(line.startswith(b"Vary: Origin") for line in lines)
    assert b"*" not in b"".join(lines)


def test_the_answer_allows_no_cookies() -> None:
    """
    The credential is the proxy's; a page's own has no business here.
    """
    lines = answer((cors.METHOD, b"PUT"), (b"cookie", b"a=b"))
    assert not any(b"credentials" in line.lower() for line in lines)


def test_the_answer_grants_no_method_that_is_not_allowed() -> None:
    """
    The browser stops the page before it sends.
    """
    lines = answer((cors.METHOD, b"DELETE"), rules=access.rules(methods=["POST", "GET"]))
    assert b"Access-Control-Allow-Methods: GET, POST" in lines


@each("field", [b"x a", b"a\r\nSet-Cookie: b", b"x:y", b"\xff", b'"'])
def test_a_name_that_is_no_token_is_not_named_back(field: bytes) -> None:
    """
    Nothing that the page says breaks out of our answer.
    """
    lines = answer((cors.METHOD, b"PUT"), (cors.FIELDS, b"x-a, " + field))
    assert b"Access-Control-Allow-Headers: x-a" in lines


@each(("value", "granted"), [(b"true", True), (b"True", False), (b"1", False)])
def test_a_private_network_is_opened_when_asked_for(value: bytes, granted: bool) -> None:
    """
    Private Network Access, section 3.1: in the browser's own word.
    """
    lines = answer((cors.METHOD, b"PUT"), (cors.PRIVATE_NETWORK, value))
    assert (b"Access-Control-Allow-Private-Network: true" in lines) is granted
    assert b"Access-Control-Allow-Private-Network: true" not in answer((cors.METHOD, b"PUT"))


# Every other answer.


def test_an_answer_to_an_allowed_page_lets_it_read() -> None:
    """
    All of the fields too.
    """
    assert cors.fields([PAGE], RULES) == (
        b"Access-Control-Allow-Origin: https://page.example\r\n"
        b"Access-Control-Expose-Headers: *\r\nVary: Origin\r\n"
    )


def test_an_answer_to_anybody_else_says_that_it_would_vary() -> None:
    """
    Once any origin is allowed, a cache must not serve one's answer to another.
    """
    for origins in ([], [b"https://evil.example"], [PAGE, PAGE]):
        assert cors.fields(origins, RULES) == b"Vary: Origin\r\n"


def test_where_no_origin_is_allowed_nothing_is_said_of_them() -> None:
    """
    Answers pass as they are.
    """
    assert cors.fields([PAGE], CLOSED) == b""


def test_what_the_upstream_says_of_origins_is_replaced() -> None:
    """
    In any spelling of the names; nothing else is touched.
    """
    head = (
        b"HTTP/1.1 200 access-control-x: 1\r\nA: access-control-b: c\r\n"
        b"access-control-ALLOW-origin: *\r\n"
        b"Access-Control-Allow-Credentials: true\r\nX-Access-Control-A: 1\r\n"
    )
    assert cors.replace(head, b"Vary: Origin\r\n") == (
        b"HTTP/1.1 200 access-control-x: 1\r\nA: access-control-b: c\r\nX-Access-Control-A: 1\r\n"
        b"Vary: Origin\r\n"
    )
