"""What the health endpoints know of the process: three questions, answered from memory."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Check:
    """
    One thing that holds or not; *text* says more, for people: ``expires in 54m``.

    *code*, for programs, is the error code that requests get for want of it, if they get one.
    *text* is shown to whoever may ask, and printed by ``bearer-proxy health``: one line, no secret.
    """

    name: str
    ok: bool
    text: str = ""
    code: str = ""


class Vitals(Protocol):
    """Each answer is a plain read that never waits; it is yes if every check is ok."""

    def live(self) -> list[Check]:
        """Is the process worth keeping? Never looks at the issuer or the upstream."""
        ...

    def ready(self) -> list[Check]:
        """Should it be sent requests now: a usable token, not draining?"""
        ...

    def started(self) -> list[Check]:
        """Has it listened and had a first token? Once yes, yes for good."""
        ...
