"""What health endpoints, ready line and demo know of the running proxy: plain reads alone."""

from collections.abc import Callable

from proxy.admin.vitals import Check
from proxy.dataplane import Plane
from proxy.tokens import Snapshot


class AppVitals:
    """Answers the three health questions from *plane* and the token's *snapshot*."""

    def __init__(self, plane: Plane, snapshot: Callable[[], Snapshot]) -> None:
        self._plane = plane
        self._snapshot = snapshot
        self.listening = False
        self.had_a_token = False

    def live(self) -> list[Check]:
        """The loop turns, or nobody would answer."""
        return [Check("loop", ok=True)]

    def ready(self) -> list[Check]:
        """A usable token, and not draining."""
        return [self._token(), Check("accepting", not self._plane.draining, self._accepting())]

    def started(self) -> list[Check]:
        """Listening, and a first token was had; stays true."""
        return [
            Check("listening", self.listening),
            Check("first token", self.had_a_token, "" if self.had_a_token else self._token().text),
        ]

    def _token(self) -> Check:
        snapshot = self._snapshot()
        if snapshot.usable:
            return Check("token", ok=True, text=f"expires in {duration(snapshot.expires_in or 0)}")
        cause = f"the issuer {snapshot.cause}" if snapshot.cause else "none issued yet"
        return Check("token", ok=False, text=f"{cause}; next try in {snapshot.next_try_in:.0f} s")

    def _accepting(self) -> str:
        return "draining" if self._plane.draining else ""


def duration(seconds: float) -> str:
    """Return *seconds* as people write it: 59m58s, 1h05m, 42s."""
    whole = max(0, int(seconds))
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"
