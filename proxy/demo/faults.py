"""
What can be broken on demand, and what is broken now.

Each row is ``POST /_demo/<fault>`` with its parameters in the query, or ``api.fault("<fault>")``
with them as keywords. Of a choice, the first word is the default.

fault       parameters                        what happens
revoke                                        the API refuses every token issued so far
reject                                        the issuer rejects the credentials
rate-limit  what retry_after=5 form           429 with Retry-After
down        what status=0                     dropped unanswered; status=503 answers so
slow        what delay=2                      the answer begins delay seconds late
malformed   what how                          200, but not what was asked for
truncate    what                              the answer is cut in the middle of its body
redirect    what status=302 to=/elsewhere     to elsewhere; stats count who follows
lie         lives=1 claims=                   new tokens die after lives seconds
recover                                       every fault ends; revoked stays revoked

what    issuer | api | both
form    seconds | date | none    how Retry-After is written
how     garbage | empty | html | no-token | failed    (success: false)
claims  what expires_in says instead of the configured life: any number; none leaves it out

All but revoke and recover also take seconds=N and count=N: over after so many seconds, or so many
answers, whichever comes first; neither given, until recover. Asked for again, a fault begins anew.
When several touch one answer: slow, then the first of down, redirect, rate-limit, malformed,
truncate, reject, lie.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Side(StrEnum):
    """Where a fault shows."""

    ISSUER = "issuer"
    API = "api"


class FaultError(ValueError):
    """There is no such fault or parameter; the text says what there is."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A setting of a fault; *fits* returns False or raises ValueError for text that does not."""

    name: str
    default: str
    must_be: str
    fits: Callable[[str], bool]
    choice: bool = False

    def __str__(self) -> str:
        return self.name if self.choice else f"{self.name}={self.default}"

    def accepts(self, text: str) -> bool:
        """Tell whether *text* is a setting."""
        try:
            return self.fits(text)
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the table."""

    name: str
    effect: str
    parameters: tuple[Parameter, ...] = ()
    lasts: bool = True


def _one_of(name: str, *words: str) -> Parameter:
    return Parameter(name, words[0], f"one of {', '.join(words)}", words.__contains__, choice=True)


def _number(name: str, default: str) -> Parameter:
    # A fault longer than a day is a slip; and nan and inf, which float() takes, never end.
    return Parameter(
        name, default, "a number from 0 to 86400", lambda text: 0 <= float(text) <= 86_400
    )


def _whole(name: str, default: str, *, least: int, most: int) -> Parameter:
    def fits(text: str) -> bool:
        return text == default or least <= int(text) <= most

    return Parameter(name, default, f"a whole number from {least} to {most}", fits)


def _printable(name: str, default: str) -> Parameter:
    # It becomes a field of the answer; a line break in it would begin another.
    return Parameter(
        name, default, "printable ASCII", lambda text: text.isascii() and text.isprintable()
    )


def _claim(text: str) -> bool:
    # Also what no issuer should say (0, -1, 1e12): that is the point of a lie.
    return text in ("", "none") or abs(float(text)) <= 1e15


_WHAT: Final = _one_of("what", "issuer", "api", "both")
_FORM: Final = _one_of("form", "seconds", "date", "none")
_HOW: Final = _one_of("how", "garbage", "empty", "html", "no-token", "failed")
_SECONDS: Final = _number("seconds", "")
_COUNT: Final = _whole("count", "", least=1, most=1_000_000)

KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("revoke", "the API refuses every token issued so far", lasts=False),
        Kind("reject", "the issuer rejects the credentials"),
        Kind("rate-limit", "429 with Retry-After", (_WHAT, _number("retry_after", "5"), _FORM)),
        Kind(
            "down",
            "dropped unanswered; status=503 answers so",
            (_WHAT, _whole("status", "0", least=400, most=599)),
        ),
        Kind("slow", "the answer begins delay seconds late", (_WHAT, _number("delay", "2"))),
        Kind("malformed", "200, but not what was asked for", (_WHAT, _HOW)),
        Kind("truncate", "the answer is cut in the middle of its body", (_WHAT,)),
        Kind(
            "redirect",
            "to elsewhere; stats count who follows",
            (_WHAT, _whole("status", "302", least=300, most=308), _printable("to", "/elsewhere")),
        ),
        Kind(
            "lie",
            "new tokens die after lives seconds",
            (
                _number("lives", "1"),
                Parameter("claims", "", "a number that JSON can say, or none", _claim),
            ),
        ),
        Kind("recover", "every fault ends; revoked stays revoked", lasts=False),
    )
}


@dataclass(slots=True)
class Fault:
    """A fault that was asked for; *began* is on the clock of its Faults, *left* counts answers."""

    name: str
    settings: Mapping[str, str]
    began: float
    seconds: float | None
    left: int | None

    def word(self, name: str) -> str:
        """Return a setting as it was given."""
        return self.settings[name]

    def number(self, name: str) -> float:
        """Return a setting that was checked to be a number."""
        return float(self.settings[name])

    def end(self) -> str:
        """Say when it is over, in words."""
        ends = []
        if self.seconds is not None:
            ends.append(f"{self.seconds:g} seconds")
        if self.left is not None:
            ends.append(f"{self.left} answers")
        return f"for {' or '.join(ends)}" if ends else "until recover"

    def touches(self, side: Side) -> bool:
        """Tell whether it shows there; a fault without ``what`` is the issuer's."""
        return self.settings.get("what", Side.ISSUER) in (side, "both")

    def active(self, now: float) -> bool:
        """Tell whether it is not over yet."""
        return self.left != 0 and (self.seconds is None or now < self.began + self.seconds)


class Faults:
    """The faults that are active: at most one of each kind."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._active: dict[str, Fault] = {}

    def begin(self, name: str, settings: Mapping[str, str]) -> Fault:
        """Make a fault active, with settings from ``checked``."""
        seconds, count = settings["seconds"], settings["count"]
        fault = Fault(
            name,
            {key: text for key, text in settings.items() if key not in ("seconds", "count")},
            began=self._clock(),
            seconds=float(seconds) if seconds else None,
            left=int(count) if count else None,
        )
        self._active[name] = fault
        return fault

    def recover(self) -> None:
        """End them all."""
        self._active.clear()

    def take(self, name: str, side: Side) -> Fault | None:
        """Return the fault if it shows in the answer about to be given there, and count that."""
        fault = self._active.get(name)
        if fault is None or not fault.touches(side) or not fault.active(self._clock()):
            return None
        if fault.left is not None:
            fault.left -= 1
        return fault

    def active(self) -> list[dict[str, str | float]]:
        """Describe what is broken now, in the words it was asked for, and for how long yet."""
        now = self._clock()
        return [_described(fault, now) for fault in self._active.values() if fault.active(now)]


def checked(name: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return every setting of a row, defaults included. FaultError when the table has no such."""
    kind = KINDS.get(name)
    if kind is None:
        raise FaultError(f"no fault is called {name!r}; there are: {', '.join(KINDS)}")
    known = {each.name: each for each in _taken(kind)}
    for key, text in given.items():
        if key not in known:
            accepted = ", ".join(known) or "none"
            raise FaultError(f"{name} takes no parameter {key!r}; it takes: {accepted}")
        if not known[key].accepts(text):
            raise FaultError(f"{name}: {key} must be {known[key].must_be}")
    return {key: given.get(key, each.default) for key, each in known.items()}


def table() -> str:
    """Return the rows as they stand in this module's documentation."""
    rows = [("fault", "parameters", "what happens")]
    rows += [(k.name, " ".join(map(str, k.parameters)), k.effect) for k in KINDS.values()]
    return "\n".join(f"{name:<12}{given:<34}{effect}" for name, given, effect in rows)


def _taken(kind: Kind) -> Iterator[Parameter]:
    yield from kind.parameters
    if kind.lasts:
        yield from (_SECONDS, _COUNT)


def _described(fault: Fault, now: float) -> dict[str, str | float]:
    words: dict[str, str | float] = {"fault": fault.name, **fault.settings}
    if fault.seconds is not None:
        words["seconds_left"] = round(fault.began + fault.seconds - now, 3)
    if fault.left is not None:
        words["count_left"] = fault.left
    return words
