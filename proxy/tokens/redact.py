"""
What of a foreign text may be shown.

Issuers quote what they were sent: "invalid secret 'hunter2…'" is a real answer. So an excerpt loses
every piece of what must not be shown, also a piece that the issuer cut, before we cut it ourselves.
"""

import base64
import html
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

EXCERPT_CHARACTERS = 200
_READ_CHARACTERS = 2000
# Shorter pieces of a secret occur in plain words; longer ones begin to be worth something.
_PIECE = 8
_REMOVED = "[redacted]"
# Anything that looks like a JWT, ours or not.
_JWT = re.compile(r"eyJ[\w-]{5,}(\.[\w-]*)*")


def spellings(secret: str, *, client_id: str = "") -> tuple[str, ...]:
    """Return the forms in which *secret* may come back: escaped for URL, HTML, JSON; in Basic."""
    basic = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return tuple(
        dict.fromkeys(
            (
                secret,
                quote(secret, safe=""),
                quote_plus(secret),
                html.escape(secret),
                json.dumps(secret)[1:-1],
                base64.b64encode(secret.encode()).decode().rstrip("="),
                base64.b64encode(basic.encode()).decode().rstrip("="),
                base64.b64encode(f"{client_id}:{secret}".encode()).decode().rstrip("="),
            )
        )
    )


def excerpt(message: object, *, hide: Iterable[str]) -> str:
    """
    Return what of *message* may be logged: one line of at most 200 printable characters.

    Nothing of *hide* is left in it, down to pieces of eight characters. Anything but text gives
    nothing.
    """
    if not isinstance(message, str):
        return ""
    text = message[:_READ_CHARACTERS]
    for secret in hide:
        text = _without(secret, text)
    text = _JWT.sub(_REMOVED, text)
    # isprintable is False for control and format characters: no escape sequences, no bidi tricks.
    text = "".join(each if each.isprintable() else " " for each in text)
    text = " ".join(text.split())
    return text if len(text) <= EXCERPT_CHARACTERS else text[: EXCERPT_CHARACTERS - 1] + "…"


def _without(secret: str, text: str) -> str:
    """Return *text* with every stretch removed in which a piece of *secret* occurs."""
    size = min(_PIECE, len(secret))
    if not size:
        return text
    pieces = {secret[i : i + size] for i in range(len(secret) - size + 1)}
    hit = [False] * len(text)
    for i in range(len(text) - size + 1):
        if text[i : i + size] in pieces:
            hit[i : i + size] = [True] * size
    if not any(hit):
        return text
    kept: list[str] = []
    for character, covered, before in zip(text, hit, [False, *hit], strict=False):
        if not covered:
            kept.append(character)
        elif not before:
            kept.append(_REMOVED)
    return "".join(kept)
