"""What the admin listener may see and have done: the ``Console`` over the running proxy."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from proxy.admin.console import Refusal
from proxy.admin.words import countdown
from proxy.tokens import Tokens

if TYPE_CHECKING:
    from proxy.admin.view import View
    from proxy.app.view import Viewer


class AppConsole:
    """
    Looks through what *viewer* returns, which is asked for when somebody first looks, and acts on
    *tokens*; *listen* tells the addresses bound.

    *begin_drain* starts a drain and returns. ``on_quit`` and ``on_reload`` are set by whoever owns
    the process and its configuration; without them those actions are refused.
    """

    def __init__(
        self,
        viewer: "Callable[[], Viewer]",
        tokens: Tokens,
        *,
        listen: Callable[[], list[str]],
        begin_drain: Callable[[], None],
    ) -> None:
        self._viewer = viewer
        self._tokens = tokens
        self._listen = listen
        self._begin_drain = begin_drain
        self.on_quit: Callable[[], None] | None = None
        self.on_reload: Callable[[], Awaitable[str]] | None = None

    def prepare(self) -> None:
        """Import what ``view`` needs."""
        self._viewer()

    def view(self) -> "View":
        """Return the state of now."""
        return self._viewer().look(self._tokens.snapshot(), tuple(self._listen()))

    def on_change(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have *call* run whenever the token's life takes a turn, until cancelled."""
        return self._tokens.on_change(call)

    def refresh(self) -> str:
        """Ask for a new token now; Refusal while the issuer must not be asked."""
        if not self._tokens.refresh_now():
            snapshot = self._tokens.snapshot()
            raise Refusal(
                f"The issuer is not asked before its time: it {snapshot.cause or 'was just asked'};"
                f" next try in {countdown(snapshot.next_try_in)}."
            )
        return "A new token is being asked for."

    def drain(self) -> str:
        """Take no more requests, for good."""
        self._begin_drain()
        return "Draining: no more requests are taken."

    def quit(self) -> str:
        """Drain, then end the process."""
        if self.on_quit is None:
            raise Refusal("This proxy runs inside another program, which has to end it.")
        self.on_quit()
        return "Stopping: what is in flight may end."

    async def reload(self) -> str:
        """Read the configuration again."""
        if self.on_reload is None:
            raise Refusal("This proxy can't read its configuration again; start it anew.")
        return await self.on_reload()
