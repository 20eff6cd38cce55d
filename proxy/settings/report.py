"""
What a person reads when the configuration is wrong: all of it, once, in aligned columns.

A report is made of places, names and phrases that its makers vouch for; control characters in them
are escaped, because names come from files and environments.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.settings.show import Row

NOT_SET = "(not set)"
_WIDTH = 110
_NARROWEST_MESSAGE = 48


@dataclass(frozen=True, slots=True)
class Problem:
    """
    One thing to put right.

    *place* is ``file:line``, a variable, a flag or ``(not set)``; *key* is ``table.key``, or empty
    where no key is concerned; *message* never repeats a value that may be a credential.
    """

    place: str
    key: str
    message: str


class SettingsError(Exception):
    """
    The configuration cannot be used; its text is the report, every problem in it.

    *rows* are all keys with what was given, as far as it may be shown.
    """

    def __init__(
        self,
        problems: Sequence[Problem],
        *,
        subject: str = "the configuration",
        rows: "Sequence[Row]" = (),
    ) -> None:
        self.problems = tuple(problems)
        self.subject = subject
        self.rows = rows
        super().__init__(render(self.problems, subject=subject))


def render(problems: Sequence[Problem], *, subject: str) -> str:
    """Return the report, without a newline at its end."""
    rows = [
        (printable(each.place), printable(each.key), printable(each.message)) for each in problems
    ]
    place_width = max(len(place) for place, _, _ in rows)
    key_width = max(len(key) for _, key, _ in rows)
    count = "1 problem" if len(rows) == 1 else f"{len(rows)} problems"
    lines = [f"bearer-proxy: {printable(subject)} has {count}"]
    for place, key, message in rows:
        start = f"  {place:<{place_width}}   "
        if key_width:
            start += f"{key:<{key_width}}   "
        lines += _wrapped(start, message)
    return "\n".join(lines)


def _wrapped(start: str, message: str) -> list[str]:
    return textwrap.wrap(
        message,
        width=max(_WIDTH, len(start) + _NARROWEST_MESSAGE),
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )


def printable(text: str) -> str:
    """Return *text* with everything that could disturb a terminal or a line escaped."""
    return "".join(
        each
        if each.isprintable()
        else each.encode("unicode_escape", "surrogatepass").decode("ascii")
        for each in text
    )
