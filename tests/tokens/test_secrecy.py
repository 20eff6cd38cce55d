"""What is quoted of an issuer holds neither secret nor token, however it spells them."""

from proxy.tokens.redact import EXCERPT_CHARACTERS, excerpt, spellings
from tests.each import each
from tests.tokens.echoes import ECHOES, SECRET, TOKEN, shown_forms


@each("how", ECHOES)
@each("secret", [SECRET, TOKEN])
def test_an_excerpt_holds_nothing_of_what_is_hidden(how: str, secret: str) -> None:
    """
    However the issuer spells it, nothing is left that is longer than a word.
    """
    echo = ECHOES[how](secret)
    shown = excerpt(echo, hide=spellings(secret, client_id="acme"))
    assert "[redacted]" in shown
    assert shown_forms(shown, secret) == []


def test_an_excerpt_leaves_plain_words() -> None:
    """
    What the issuer has to say besides is kept: it is what helps.
    """
    said = f"client acme: secret '{SECRET}' was rotated on 2026-11-24, see https://docs.test/rotate"
    assert excerpt(said, hide=spellings(SECRET, client_id="acme")) == (
        "client acme: secret '[redacted]' was rotated on 2026-11-24, see https://docs.test/rotate"
    )


@each("message", [None, 7, ["a"], {"a": "b"}, b"bytes", ""])
def test_only_text_is_quoted(message: object) -> None:
    """
    An excerpt comes from a string or not at all.
    """
    assert excerpt(message, hide=[]) == ""


def test_an_excerpt_is_one_short_printable_line() -> None:
    """
    No escape sequence, no line break, no bidirectional override, 200 characters at most.
    """
    shown = excerpt("a\x1b[2J\r\nb\u202ec\0\ud800" + "d" * 5_000, hide=[])
    assert shown.startswith("a [2J b c ddd")
    assert len(shown) == EXCERPT_CHARACTERS
    assert shown.isprintable()


def test_any_jwt_is_removed() -> None:
    """
    Also one that nobody here has seen before.
    """
    assert excerpt("got eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2ln, expired", hide=[]) == (
        "got [redacted], expired"
    )


def test_a_short_secret_is_hidden_whole() -> None:
    """
    A secret shorter than the pieces that are looked for is found all the same.
    """
    assert "s3c" not in excerpt("your s3c is wrong", hide=spellings("s3c"))
