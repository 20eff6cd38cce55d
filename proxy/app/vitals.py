"""What health endpoints, ready line and demo know of the running proxy: plain reads alone."""

from collections.abc import Callable
from dataclasses import dataclass

from proxy.admin.vitals import Check
from proxy.app.carrier import Carrier
from proxy.metrics import Readings
from proxy.tokens import Outcome, Snapshot


class AppVitals:
    """
    Answers the three health questions from *plane* and the token's *snapshot*.

    *workers* returns how many processes serve; without it, this one does.
    """

    def __init__(
        self,
        plane: Carrier,
        snapshot: Callable[[], Snapshot],
        *,
        workers: Callable[[], int] | None = None,
    ) -> None:
        self._plane = plane
        self._snapshot = snapshot
        self._workers = workers
        self.listening = False
        self.had_a_token = False

    def live(self) -> list[Check]:
        """The loop turns, or nobody would answer."""
        return [Check("loop", ok=True)]

    def ready(self) -> list[Check]:
        """A usable token, not draining, and somebody who serves."""
        found = [self._token(), Check("accepting", not self._plane.draining, self._accepting())]
        if self._workers is not None:
            number = self._workers()
            found.append(Check("workers", number > 0, f"{number} serving"))
        return found

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
        text = f"{cause}; next try in {snapshot.next_try_in:.0f} s"
        return Check("token", ok=False, text=text, code=snapshot.code)

    def _accepting(self) -> str:
        return "draining" if self._plane.draining else ""


class RefreshWatch:
    """Has *tell* told of each exchange with the issuer; called after every change."""

    def __init__(self, snapshot: Callable[[], Snapshot], tell: Callable[[Outcome], None]) -> None:
        self._snapshot = snapshot
        self._tell = tell
        self._seen = 0

    def __call__(self) -> None:
        """Tell of the exchanges that have ended since the last call."""
        snapshot = self._snapshot()
        ended = sum(snapshot.counts.values())
        new, self._seen = ended - self._seen, ended
        for outcome in snapshot.outcomes[-new:] if new else ():
            self._tell(outcome)


@dataclass(slots=True)
class Reload:
    """How the last reading of the configuration went; *at* is when the one in force was read."""

    at: float
    succeeded: bool = True
    problem: str = ""


def readings(plane: Carrier, snapshot: Snapshot, reload: Reload, *, workers: int = 0) -> Readings:
    """Return what metrics read when they are scraped."""
    load, pools = plane.load(), plane.pools
    return Readings(
        snapshot,
        in_flight=load.in_flight,
        waiting_for_token=load.waiting_for_token,
        queued=sum(pool.queued_count for pool in pools),
        request_bytes=load.request_bytes,
        response_bytes=load.response_bytes,
        connections={
            "idle": sum(pool.idle_count for pool in pools),
            "busy": sum(pool.busy_count for pool in pools),
        },
        replays=plane.replays,
        reload_succeeded=reload.succeeded,
        reloaded_at=reload.at,
        workers=workers,
    )


def duration(seconds: float) -> str:
    """Return *seconds* as people write it: 59m58s, 1h05m, 42s."""
    whole = max(0, int(seconds))
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"
