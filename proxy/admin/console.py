"""What the admin listener sees of the running proxy, and what it can have done."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from proxy.admin.view import View


class Refusal(Exception):
    """An action that can't be done; the text says why, for the person who asked."""


class Console(Protocol):
    """What the admin listener sees of the running proxy, and what it can have done."""

    def prepare(self) -> None:
        """Import what ``view`` needs; takes some 10 ms, so a thread is the place for it."""
        ...

    def view(self) -> "View":
        """Return the state of now."""
        ...

    def on_change(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have *call* run when something worth showing at once has changed, until cancelled."""
        ...

    def refresh(self) -> str:
        """Ask for a new token now; return what was done. Refusal if that is held off."""
        ...

    def drain(self) -> str:
        """Take no more requests, for good; return what was done."""
        ...

    def quit(self) -> str:
        """Drain, then end the process; return what was done."""
        ...

    async def reload(self) -> str:
        """Read the configuration again; return what was done. Refusal if it can't be used."""
        ...
