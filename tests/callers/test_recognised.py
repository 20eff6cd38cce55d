"""Which requests are a caller's that may ask, and that nothing of how it showed itself goes on."""

from dataclasses import replace

import pytest

from proxy.errors import ProxyError
from proxy.policy import reading, verdict
from proxy.policy.admission import Admission
from proxy.policy.callers import Callers, LocalToken, check_user, recognise
from proxy.policy.credential import Credential
from proxy.policy.reading import Received
from proxy.policy.rules import Rules
from proxy.policy.target import Base
from proxy.policy.verdict import Forward, Refuse, Settle, Verdict
from tests.each import each

ONE, OTHER = LocalToken("ci", b"one-token-of-many"), LocalToken("shop", b"another-token-it-is")
TOKENS = Callers(tokens=(ONE, OTHER))
OWN_FIELD = replace(TOKENS, token_field=b"X-Local-Token")
PAGE = b"https://page.example"
CREDENTIAL = Credential("t0k3n", 0, 1, 2)


def rules(callers: Callers) -> Rules:
    return Rules(
        base=Base(b"https", b"api.example", b"", frozenset()),
        admission=Admission(origins=frozenset({PAGE})),
        callers=callers,
        send_via=False,
    )


def block(*fields: bytes) -> bytes:
    return b"".join(line + b"\r\n" for line in (b"Host: localhost", *fields))


def read(callers: Callers, *fields: bytes) -> Received:
    return reading.read(block(*fields), minor=1, rules=rules(callers), local="127.0.0.1")


def judged(callers: Callers, *fields: bytes, method: bytes = b"GET") -> Verdict:
    asked = verdict.ask(method, b"/a", read(callers, *fields), rules(callers))
    return verdict.judge(asked, CREDENTIAL)


def refusal(found: Verdict) -> ProxyError:
    assert isinstance(found, Refuse)
    assert found.error.code == "caller_not_allowed"
    assert found.error.status == 403
    return found.error


def sent(found: Verdict) -> bytes:
    assert isinstance(found, Forward)
    return found.head


# Tokens.


@each("shown", [ONE, OTHER])
@each(
    ("callers", "start"),
    [
        (TOKENS, b"Proxy-Authorization: Bearer "),
        (TOKENS, b"proxy-authorization: bEARER  "),
        (replace(TOKENS, token_field=b"authorization"), b"Authorization: Bearer "),
        (OWN_FIELD, b"X-Local-Token: "),
        (OWN_FIELD, b"x-local-TOKEN:"),
    ],
)
def test_any_of_the_tokens_opens_and_says_whose_it_is(
    callers: Callers, start: bytes, shown: LocalToken
) -> None:
    """
    In the field that is configured, in any case of its name; the token itself goes no further.
    """
    assert read(callers, start + shown.token).caller == shown.name
    head = sent(judged(callers, b"Accept: a", start + shown.token, b"X-B: b"))
    assert shown.token not in head
    assert b"Accept: a\r\nX-B: b\r\nAuthorization: Bearer t0k3n\r\n" in head


@each(
    "fields",
    [
        (),
        (b"Proxy-Authorization: Bearer ",),
        (b"Proxy-Authorization: Bearer",),
        (b"Proxy-Authorization: one-token-of-many",),
        (b"Proxy-Authorization: Basic one-token-of-many",),
        (b"Proxy-Authorization: Bearer one-token-of-man",),
        (b"Proxy-Authorization: Bearer one-token-of-many2",),
        (b"Proxy-Authorization: Bearer ONE-TOKEN-OF-MANY",),
        (b"Proxy-Authorization: Bearer one-token-of-many another-token-it-is",),
        (b"Proxy-Authorization: Bearer one-token-of-many,another-token-it-is",),
        (b"Proxy_Authorization: Bearer one-token-of-many",),
        (b"Authorization: Bearer one-token-of-many",),
        (b"X-Proxy-Authorization: Bearer one-token-of-many",),
        (b"Proxy-Authorization: Bearer one-token-of-many",) * 2,
        (b"Proxy-Authorization: Bearer one-token-of-many", b"Proxy-Authorization: x"),
    ],
)
def test_nothing_but_a_token_opens(fields: tuple[bytes, ...]) -> None:
    """
    No token, a part of one, another scheme, another field, two at once: refused, with the key.
    """
    error = refusal(judged(TOKENS, *fields))
    assert "listen.local_token_file" in error.detail
    assert "Proxy-Authorization: Bearer TOKEN" in error.hint


def test_a_refusal_repeats_no_token() -> None:
    """
    Neither the one that was shown nor any that would have been right.
    """
    error = refusal(judged(TOKENS, b"Proxy-Authorization: Bearer almost-one-token"))
    for said in (error.detail, error.hint, repr(TOKENS)):
        for token in (b"almost-one-token", ONE.token, OTHER.token):
            assert token.decode() not in said


@each("name", [b"X_Local_Token", b"x_local-token", b"X-LOCAL_TOKEN"])
def test_a_token_goes_no_further_in_any_spelling(name: bytes) -> None:
    """
    To an upstream's CGI an underscore is a hyphen, and the token none of its business.
    """
    shown = b"X-Local-Token: " + ONE.token
    head = sent(judged(OWN_FIELD, shown, name + b": " + OTHER.token, b"X-B: b"))
    assert b"local" not in head.lower().replace(b"localhost", b"")
    assert b"X-B: b" in head


def test_a_token_that_is_another_in_a_repeated_block_is_read_afresh() -> None:
    """
    What a connection remembers of its block must not let in another token, or keep its name.
    """
    received = read(OWN_FIELD, b"X-Local-Token: one-token-of-many", b"X-B: b")
    same = reading.reread(block(b"X-Local-Token: one-token-of-many", b"X-B: c"), received)
    assert same is not None
    assert same.caller == "ci"
    for token in (b"not-a-token-at-all", OTHER.token):
        assert reading.reread(block(b"X-Local-Token: " + token, b"X-B: b"), received) is None


# A field against SSRF.


@each(
    ("callers", "fields"),
    [
        (Callers(required_field=b"X-Local"), (b"X-Local: 1",)),
        (Callers(required_field=b"X-Local"), (b"x-LOCAL:",)),
        (Callers(required_field=b"X-Local"), (b"X-Local: 1", b"X-Local: 2")),
        (Callers(required_field=b"X-Local", required_value=b"a b"), (b"X-Local:  a b ",)),
    ],
)
def test_a_request_with_the_required_field_passes_without_it(
    callers: Callers, fields: tuple[bytes, ...]
) -> None:
    """
    It is meant for the proxy.
    """
    assert b"local: " not in sent(judged(callers, *fields)).lower().replace(b"localhost", b"")


@each(
    ("callers", "fields"),
    [
        (Callers(required_field=b"X-Local"), ()),
        (Callers(required_field=b"X-Local"), (b"X_Local: 1",)),
        (Callers(required_field=b"X-Local"), (b"X-Locale: 1",)),
        (Callers(required_field=b"X-Local", required_value=b"a"), ()),
        (Callers(required_field=b"X-Local", required_value=b"a"), (b"X-Local: A",)),
        (Callers(required_field=b"X-Local", required_value=b"a"), (b"X-Local: ab",)),
        (Callers(required_field=b"X-Local", required_value=b"a"), (b"X-Local: a",) * 2),
    ],
)
def test_a_request_without_the_required_field_is_refused(
    callers: Callers, fields: tuple[bytes, ...]
) -> None:
    """
    Whoever makes an application fetch a URL can rarely choose its fields as well.
    """
    assert "listen.required_header" in refusal(judged(callers, *fields)).detail


def test_both_have_to_be_shown_where_both_are_asked_for() -> None:
    """
    Neither stands in for the other.
    """
    both = replace(TOKENS, required_field=b"X-Local")
    token = b"Proxy-Authorization: Bearer one-token-of-many"
    assert isinstance(judged(both, token, b"X-Local: 1"), Forward)
    refusal(judged(both, token))
    refusal(judged(both, b"X-Local: 1"))


# Who else.


def test_a_browsers_question_needs_no_token_and_its_request_does() -> None:
    """
    A preflight carries no field of the page's; it is answered here, and opens nothing by itself.
    """
    origin = (b"Origin: " + PAGE,)
    asks = (*origin, b"Access-Control-Request-Method: GET")
    assert isinstance(judged(TOKENS, *asks, method=b"OPTIONS"), Settle)
    refusal(judged(TOKENS, *origin))
    refusal(judged(TOKENS, *asks))
    refusal(judged(TOKENS, *origin, method=b"OPTIONS"))


def test_what_is_not_configured_is_not_asked_for() -> None:
    """
    Nobody is asked, nobody has a name, and a stranger's Proxy-Authorization is dropped as ever.
    """
    head = sent(judged(Callers(), b"X-Local-Token: x", b"Proxy-Authorization: Bearer y"))
    assert b"X-Local-Token: x\r\n" in head
    assert b"Proxy" not in head
    assert recognise([], Callers()) == ""


@each(("uids", "uid"), [((), 0), ((), None), ((7,), 7), ((0, 7), 0)])
def test_a_user_who_is_named_may_connect(uids: tuple[int, ...], uid: int | None) -> None:
    """
    And if none is named, everyone whom the socket's mode lets in.
    """
    check_user(uid, Callers(uids=frozenset(uids)))


@each("uid", [0, 8, None])
def test_any_other_user_may_not(uid: int | None) -> None:
    """
    Root is a user like any other, and who is not known is nobody.
    """
    with pytest.raises(ProxyError) as refused:
        check_user(uid, Callers(uids=frozenset({7})))
    assert refused.value.code == "caller_not_allowed"
    assert "listen.allowed_uids" in refused.value.detail
