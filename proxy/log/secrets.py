"""The last defence: strings that no line may hold, whatever went wrong before."""

import json
import sys
from collections import deque
from threading import Lock
from urllib.parse import quote, quote_plus

HIDDEN = "[redacted]"
# Bytes that the access log shows as they are: printable ASCII, without the two that JSON escapes.
VISIBLE = bytes(c for c in range(0x21, 0x7F) if c not in b'"\\')

# Whatever is shorter is no secret, and hiding it would blacken ordinary words.
_SHORTEST = 4
# Tokens follow each other for as long as the process lives. An old one is worthless long before
# seven more were issued, and every line pays for each that is remembered.
_SERIES = 8


class Secrets:
    """The protected strings, in each spelling in which a line could carry them."""

    def __init__(self) -> None:
        self._turn = Lock()  # secrets are read in threads, tokens come in the loop
        self._lasting: dict[str, tuple[str, ...]] = {}
        self._series: deque[tuple[str, ...]] = deque(maxlen=_SERIES)
        self._needles: tuple[str, ...] = ()
        self.shortest = sys.maxsize
        self.generation = 0  # grows with every change of what is hidden

    def protect(self, value: str, *, rotating: bool = False) -> None:
        """
        Hide *value* in every line from now on.

        A *rotating* value is one of a series, such as tokens: the latest eight are remembered.
        All others are remembered for good. A value of under four characters is ignored.
        """
        if len(value) >= _SHORTEST:
            with self._turn:
                self._protect(value, rotating)

    def _protect(self, value: str, rotating: bool) -> None:
        spellings = _spellings(value)
        if not rotating:
            self._lasting[value] = spellings
        elif spellings not in self._series:
            self._series.append(spellings)
        known = {
            *(s for v in self._lasting.values() for s in v),
            *(s for v in self._series for s in v),
        }
        # Longest first: a secret that contains another one must not leave its rest behind.
        needles = tuple(sorted(known, key=len, reverse=True))
        self.shortest = len(needles[-1])
        self._needles = needles
        self.generation += 1

    def hide(self, text: str) -> str:
        """Return *text* with ``[redacted]`` in the place of every protected value."""
        if len(text) < self.shortest:
            return text
        for needle in self._needles:
            if needle in text:
                text = text.replace(needle, HIDDEN)
        return text


def _spellings(value: str) -> tuple[str, ...]:
    """Return *value* as itself and as JSON, ``repr``, a form and a URL would write it."""
    as_json = (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])
    in_url = (quote(value, safe=safe) for safe in ("", "/", VISIBLE))
    return tuple(dict.fromkeys((value, repr(value)[1:-1], *as_json, *in_url, quote_plus(value))))


# One for the process, as there is one log: who reads a secret need not be handed it.
SECRETS = Secrets()
protect = SECRETS.protect
