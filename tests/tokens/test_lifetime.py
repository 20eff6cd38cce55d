"""How long a token lives: expires_in, the JWT's exp, or a default, and never nonsense."""

import base64
import json
from email.utils import formatdate

import pytest

from proxy.tokens.lifetime import (
    AbsurdLifetime,
    clock_skew,
    http_date,
    jwt_expiry,
    lifetime,
    safety_margin,
)
from tests.each import each

NOW = 1_700_000_000.0


def jwt(claims: object, *, parts: int = 3) -> str:
    """Return a JWT with *claims*, or with them as raw text."""
    text = claims if isinstance(claims, str) else json.dumps(claims)
    body = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    return ".".join(["eyJhbGciOiJub25lIn0", body, "c2ln", "x", "y"][:parts])


def life(
    expires_in: object = None, *, token: str = "opaque", date: float | None = None
) -> tuple[float, str]:
    found = lifetime(expires_in=expires_in, token=token, default=300, sent_wall=NOW, date=date)
    return found.seconds, found.source


@each(("stated", "seconds"), [(3600, 3600), ("3600", 3600), (59.5, 59.5), ("2.5", 2.5), (1, 1)])
def test_expires_in_is_a_number_or_the_digits_of_one(stated: object, seconds: float) -> None:
    """
    Issuers write it both ways.
    """
    assert life(stated) == (seconds, "expires_in")


@each(
    "stated",
    [
        *(0, -1, 0.5, 1e9, 10**400, float("inf"), float("nan"), True, False),
        *("", "0", "-5", "1e3", "3600s", " 60", "inf", "nan", "\uff19", "1" * 21, [], {}, [60]),
    ],
)
def test_an_absurd_expires_in_is_refused(stated: object) -> None:
    """
    Zero, negative, endless, not a number: none is a life, and none is quietly replaced by another.
    """
    with pytest.raises(AbsurdLifetime):
        life(stated)
    with pytest.raises(AbsurdLifetime):
        life(stated, token=jwt({"exp": NOW + 60}))


def test_without_a_word_the_default_counts() -> None:
    """
    Neither expires_in nor a JWT: as long as the configuration says.
    """
    assert life(None) == (300, "default")


def test_without_expires_in_the_jwt_counts() -> None:
    """
    The exp of an unverified JWT, on our clock when the issuer names no other.
    """
    assert life(None, token=jwt({"exp": NOW + 90})) == (90, "jwt_exp")


def test_exp_is_measured_on_the_issuers_clock() -> None:
    """
    An issuer whose clock is ten minutes ahead means its own ten minutes. Date has no fractions:
    its second may be all but over.
    """
    token = jwt({"exp": NOW + 600 + 90})
    assert life(None, token=token, date=NOW + 600) == (89, "jwt_exp")


def test_of_two_lives_the_earlier_counts() -> None:
    """
    Whichever of expires_in and exp ends first.
    """
    assert life(60, token=jwt({"exp": NOW + 90})) == (60, "expires_in")
    assert life(3600, token=jwt({"exp": NOW + 90})) == (90, "jwt_exp")


def test_what_date_cannot_tell_apart_is_the_same() -> None:
    """
    exp a second before what expires_in says is rounding, not another life.
    """
    assert life(3600, token=jwt({"exp": NOW + 3600}), date=NOW) == (3600, "expires_in")


@each("exp", [NOW - 1, 0, -5, NOW, 1e18])
def test_an_absurd_exp_is_refused(exp: float) -> None:
    """
    Expired at birth, or never to expire.
    """
    with pytest.raises(AbsurdLifetime):
        life(None, token=jwt({"exp": exp}))


@each(
    "token",
    [
        "opaque",
        "a.b",
        "..",
        "a.!.c",
        jwt({"exp": NOW}, parts=2),
        jwt({"exp": NOW}, parts=5),
        jwt({}),
        jwt([]),
        jwt("7"),
        jwt('{"exp": NaN}'),
        jwt('{"exp": Infinity}'),
        jwt('{"exp": 1' + "0" * 400 + "}"),
        jwt('{"exp": 1' + "0" * 5_000 + "}"),
        jwt({"exp": True}),
        jwt({"exp": "1700000000"}),
        jwt("[" * 10_000),
        jwt('{"a":' * 2_000),
        "a." + "A" * 9_999 + ".c",
        "a.\xff.c",
    ],
)
def test_what_is_no_jwt_says_nothing(token: str) -> None:
    """
    Whatever has two dots in it, no exception and no nonsense comes out of it.
    """
    assert jwt_expiry(token) is None


@each(("seconds", "margin"), [(1, 0.05), (60, 3), (200, 10), (3600, 10), (30 * 86_400, 10)])
def test_the_safety_margin_is_a_share_of_the_life(seconds: float, margin: float) -> None:
    """
    A twentieth, and ten seconds at most.
    """
    assert safety_margin(seconds) == pytest.approx(margin)


@each(
    "field",
    [formatdate(NOW, usegmt=True), "Tuesday, 14-Nov-23 22:13:20 GMT", "Tue Nov 14 22:13:20 2023"],
)
def test_all_three_forms_of_a_date_are_read(field: str) -> None:
    """
    RFC 9110 section 5.6.7 has two obsolete ones that are still sent.
    """
    assert http_date(field) == NOW


@each("field", [None, "", "soon", "Tue, 99 Nov 2023 22:13:20 GMT", "0", "-1", "\0", "9" * 5_000])
def test_what_is_no_date_is_none(field: str | None) -> None:
    """
    Without an exception.
    """
    assert http_date(field) is None


@each(("date", "skew"), [(None, None), (NOW, 0.0), (NOW + 100, 100.0), (NOW - 100, -100.0)])
def test_skew_is_what_the_second_of_date_does_not_explain(
    date: float | None, skew: float | None
) -> None:
    """
    Date was written between sending and receiving, in some part of its second.
    """
    found = clock_skew(date, sent_wall=NOW + 0.2, received_wall=NOW + 0.4)
    assert found == (skew if not skew else pytest.approx(skew, abs=1))
