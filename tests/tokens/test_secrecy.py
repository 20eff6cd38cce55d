"""Neither secret nor token is shown, whatever an issuer says and however it spells it."""

import base64
import html
import json
import traceback
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from proxy.tokens import Tokens
from proxy.tokens.redact import EXCERPT_CHARACTERS, excerpt, spellings
from tests.tokens.fakes import Clock, FixedSecret, logged
from tests.tokens.issuer import ScriptedIssuer, attempted, config, keeping, says, token_of

SECRET = "hunter2/+ &\"<é>'Qx9Zk4Lm"
TOKEN = "0paque-t0ken.0f~the_issuer/4711+x=="

ECHOES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in a sentence": lambda s: f"invalid secret '{s}' for acme",
    "in capitals": str.upper,
    "cut": lambda s: f"no such secret: {s[:10]}…",
    "in a URL": lambda s: quote(s, safe=""),
    "in a URL, in small letters": lambda s: quote(s, safe="").lower(),
    "in a form": lambda s: "client_secret=" + quote_plus(s),
    "in HTML": html.escape,
    "in JSON": lambda s: json.dumps({"client_secret": s}),
    "in Basic": lambda s: base64.b64encode(f"acme:{s}".encode()).decode(),
    "in Basic, encoded": lambda s: base64.b64encode(f"acme:{quote_plus(s)}".encode()).decode(),
    "in base64": lambda s: base64.b64encode(s.encode()).decode(),
    "in base64 for URLs": lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
    "in base64 of a body": lambda s: base64.b64encode(f"xid=acme&s={s}&".encode()).decode(),
    "in base64 of another": lambda s: base64.b64encode(f"id=acme&s={s}&z".encode()).decode(),
    "in hex": lambda s: s.encode().hex(),
    "twice": lambda s: f"{s} and {base64.b64encode(s.encode()).decode()}",
}


def forms(secret: str) -> list[str]:
    """Return what may be left of no echo: every spelling, without what stands around it."""
    pure = ["as it is", "in a URL", "in HTML", "in Basic", "in Basic, encoded", "in hex"]
    found = [ECHOES[how](secret) for how in pure] + [quote_plus(secret), json.dumps(secret)[1:-1]]
    for before in range(3):
        encoded = base64.b64encode(b"?" * before + secret.encode() + b"???").decode()
        inner = encoded[-(-before * 8 // 6) : (before + len(secret.encode())) * 8 // 6]
        found += [inner, inner.replace("+", "-").replace("/", "_")]
    return found


def shown_forms(text: str, secret: str) -> list[str]:
    """Return those of which *text* has nine characters in a row, one more than is let by."""
    low = text.lower()
    return [
        form
        for form in forms(secret)
        if any(form.lower()[i : i + 9] in low for i in range(len(form) - 8))
    ]


@pytest.mark.parametrize("how", ECHOES)
@pytest.mark.parametrize("secret", [SECRET, TOKEN], ids=["secret", "token"])
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


@pytest.mark.parametrize("message", [None, 7, ["a"], {"a": "b"}, b"bytes", ""])
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


async def test_an_issuer_that_echoes_gives_nothing_away(
    issuer: ScriptedIssuer, clock: Clock
) -> None:
    """
    Logs, snapshot, errors and representations hold neither the secret nor a token, whatever the
    issuer quotes in an answer of whatever status.
    """
    issuer.say = says(200, {"access_token": TOKEN, "expires_in": 7200})
    shown: list[str] = []
    count = 1
    with logged() as lines:
        async with keeping(issuer, clock=clock, secret=FixedSecret(SECRET)) as tokens:
            await token_of(tokens)
            for status in (200, 400, 429, 503):
                for how, echo in ECHOES.items():
                    said = f"{echo(SECRET)} {echo(TOKEN)}"
                    issuer.say = says(
                        status, {"success": False, "message": said, "access_token": TOKEN}
                    )
                    clock.advance(700)
                    tokens.refresh_now()
                    count += 1
                    await attempted(tokens, count)
                    shortage = tokens.cache.shortage()
                    shown += [how, repr(tokens.snapshot()), shortage.detail, shortage.hint]
            shown += [repr(tokens.cache.current()), repr(vars(tokens))]
    shown += [repr(line) for line in lines]
    everything = "\n".join(shown)
    assert len(lines) > 50
    assert "[redacted]" in everything
    for secret in (SECRET, TOKEN):
        assert shown_forms(everything, secret) == []


async def test_a_failing_exchange_has_no_secret_in_its_traceback() -> None:
    """
    Not even a defect of ours, while the secret is at hand, writes it down: no exception's text.
    """

    class Broken(FixedSecret):
        def read(self) -> str:
            raise ValueError(SECRET)

    source = Tokens(config("http://127.0.0.1:1/"), Broken())
    exchange = await source.exchange_once()
    assert SECRET not in repr(exchange)
    assert "ValueError" in repr(exchange)
    assert SECRET not in "".join(traceback.format_stack())
