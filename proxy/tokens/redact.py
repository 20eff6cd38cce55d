"""
What of a foreign text may be shown.

Issuers quote what they were sent: "invalid secret 'hunter2…'" is a real answer. So an excerpt loses
every piece of what must not be shown, however it is spelled, also a piece that the issuer cut,
before we cut the rest ourselves.
"""

import base64
import html
import json
import re
import string
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

EXCERPT_CHARACTERS = 200
_READ_CHARACTERS = 2000
# Shorter pieces of a secret occur in plain words; longer ones begin to be worth something.
_PIECE = 8
_REMOVED = "[redacted]"
# Anything that looks like a JWT, ours or not.
_JWT = re.compile(r"eyJ[\w-]{5,}(\.[\w-]*)*", re.ASCII)
# Case is ignored (%3A and %3a, a message in capitals), by a fold that moves no character.
_FOLD = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def spellings(secret: str, *, client_id: str = "") -> tuple[str, ...]:
    """Return the forms in which *secret* may come back: for URL, HTML, JSON; in base64, in hex."""
    pairs = (f"{quote_plus(client_id)}:{quote_plus(secret)}", f"{client_id}:{secret}")
    return tuple(
        dict.fromkeys(
            (
                secret,
                quote(secret, safe=""),
                quote_plus(secret),
                html.escape(secret),
                json.dumps(secret)[1:-1],
                secret.encode().hex(),
                *_base64s(secret.encode()),
                *(form for pair in pairs for form in _base64s(pair.encode())),
            )
        )
    )


def excerpt(message: object, *, hide: Iterable[str]) -> str:
    """
    Return what of *message* may be logged: one line of at most 200 printable characters.

    Nothing of *hide* is left in it, in capitals or not, down to pieces of eight characters.
    Anything but text gives nothing.
    """
    if not isinstance(message, str):
        return ""
    text = message[:_READ_CHARACTERS]
    # All at once: what one removal leaves of a longer form would be too short for the next.
    text = _without(_covered(text, hide), text)
    # isprintable is False for control and format characters: no escape sequences, no bidi tricks.
    text = "".join(each if each.isprintable() else " " for each in text)
    text = " ".join(text.split())
    return text if len(text) <= EXCERPT_CHARACTERS else text[: EXCERPT_CHARACTERS - 1] + "…"


def _base64s(secret: bytes) -> Iterator[str]:
    """Yield *secret* in both alphabets as it looks at each of the three places in a longer text."""
    for before in range(3):
        # What depends on the neighbours is left out: the first characters, and the last.
        encoded = base64.b64encode(b"\0" * before + secret).decode()[(0, 2, 3)[before] :]
        whole = encoded.rstrip("=")[: -1 if encoded.endswith("=") else None]
        yield whole
        yield whole.translate({ord("+"): "-", ord("/"): "_"})


def _covered(text: str, hide: Iterable[str]) -> list[bool]:
    """Tell of each character of *text* whether it belongs to something that is not shown."""
    folded = text.translate(_FOLD)
    covered = [False] * len(text)
    for secret in dict.fromkeys(each.translate(_FOLD) for each in hide):
        size = min(_PIECE, len(secret))
        pieces = {secret[i : i + size] for i in range(len(secret) - size + 1)} if size else set()
        for i in range(len(folded) - size + 1):
            if folded[i : i + size] in pieces:
                covered[i : i + size] = [True] * size
    for match in _JWT.finditer(text):
        covered[match.start() : match.end()] = [True] * len(match.group())
    return covered


def _without(covered: list[bool], text: str) -> str:
    """Return *text* with each covered stretch replaced by a word."""
    kept: list[str] = []
    for character, hidden, before in zip(text, covered, [False, *covered], strict=False):
        if not hidden:
            kept.append(character)
        elif not before:
            kept.append(_REMOVED)
    return "".join(kept)
