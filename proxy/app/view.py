"""From the running parts to what the status page shows of them."""

import platform
from collections.abc import Callable, Sequence
from pathlib import Path

from proxy import __version__
from proxy.admin import view
from proxy.admin.view import Level, Verdict, View
from proxy.app.carrier import Carrier
from proxy.app.vitals import Reload
from proxy.errors import KINDS, Side
from proxy.log.access import shown
from proxy.log.secrets import SECRETS
from proxy.metrics import Finished, Recent, Traffic
from proxy.settings.load import Loaded
from proxy.settings.show import rows
from proxy.tokens import Snapshot, State

_PAGE_BYTES = 4096
# How long a failure to connect is the news, if no connection was made since.
_NEWS_SECONDS = 60.0
# One failure is a request's own affair, three in a row are the upstream's.
_A_FEW = 3


class Viewer:
    """
    Makes the View; *loaded* returns the configuration in force.

    *settle* is called first, so that what is seen is the state of now.
    """

    def __init__(
        self,
        loaded: Callable[[], Loaded],
        plane: Carrier,
        recent: Recent,
        traffic: Traffic,
        reload: Reload,
        *,
        settle: Callable[[], None] = lambda: None,
        workers: Callable[[], Sequence[int]] = tuple,
        started_at: float,
    ) -> None:
        self._loaded = loaded
        self._plane = plane
        self._recent = recent
        self._traffic = traffic
        self._reload = reload
        self._settle = settle
        self._workers = workers
        self._started_at = started_at

    def look(self, snapshot: Snapshot, listen: tuple[str, ...]) -> View:
        """Return the state of now; *listen* are the addresses bound."""
        self._settle()
        settings = self._loaded().settings
        load, pool = self._plane.load(), self._plane.route.pool
        upstream = self._upstream()
        return View(
            taken_at=snapshot.taken_at,
            verdict=self._verdict(snapshot, listen, upstream),
            listen=listen,
            client_id=settings.token.client_id,
            draining=self._plane.draining,
            token=_token(snapshot),
            traffic=view.TrafficCard(
                in_flight=load.in_flight,
                waiting_for_token=load.waiting_for_token,
                queued=pool.queued_count,
                ticks=tuple(self._traffic.ticks),
            ),
            requests=self._requests(),
            upstream=upstream,
            configuration=self._configuration(),
            process=self._process(),
        )

    def _process(self) -> view.ProcessCard:
        workers = tuple(self._workers())
        return view.ProcessCard(
            __version__,
            platform.python_version(),
            self._started_at,
            _memory_bytes() + sum(map(_own_memory_bytes, workers)),
            workers,
        )

    def _verdict(
        self, snapshot: Snapshot, listen: tuple[str, ...], upstream: view.UpstreamCard
    ) -> Verdict:
        if self._plane.draining:
            return Verdict(Level.WAIT, "Draining: what is in flight may end, nothing new begins.")
        if not snapshot.usable:
            return _without_token(snapshot)
        trouble, seen = upstream.trouble, self._plane.route.pool.seen
        recent = trouble is not None and snapshot.taken_at - trouble.at < _NEWS_SECONDS
        if trouble is not None and recent and (seen is None or seen.at < trouble.at):
            return Verdict(
                Level.BAD, f"The token is good, but requests fail at the upstream. {trouble.detail}"
            )
        code = self._failing(snapshot.taken_at)
        if code:
            return Verdict(
                Level.WARN,
                f"The token is good, but the last requests failed at the upstream: {code}.",
            )
        if snapshot.state is State.FLAPPING:
            return Verdict(
                Level.WARN,
                "Ready, but the upstream refuses fresh tokens: its 401s are passed on for now.",
            )
        if snapshot.cause:
            return Verdict(
                Level.WARN,
                f"Ready, but the issuer {snapshot.cause}; the token at hand serves until it"
                f" expires (attempt {snapshot.consecutive_failures}).",
                snapshot.next_try_at,
            )
        return Verdict(
            Level.OK,
            f"Ready. Requests to {_urls(listen)} reach {upstream.url} as client"
            f" {self._loaded().settings.token.client_id}.",
        )

    def _failing(self, now: float) -> str:
        """Return why the last few requests failed at the upstream; empty if one did not."""
        last = self._recent.newest_first(_A_FEW)
        fresh = len(last) == _A_FEW and now - last[-1].at < _NEWS_SECONDS
        if fresh and all(_is_upstreams_fault(each) for each in last):
            return last[0].error or f"status {last[0].status}"
        return ""

    def _upstream(self) -> view.UpstreamCard:
        pool, seen = self._plane.route.pool, self._plane.route.pool.seen
        trouble = None
        if pool.last_error is not None:
            at, error = pool.last_error
            trouble = view.UpstreamTrouble(at, error.code, error.detail, error.proxy_status)
        return view.UpstreamCard(
            url=self._loaded().settings.upstream.url,
            remote=seen.remote if seen else "",
            tls_version=seen.tls_version if seen else "",
            certificate_expires_at=seen.certificate_expires_at if seen else None,
            idle=pool.idle_count,
            busy=pool.busy_count,
            trouble=trouble,
        )

    def _requests(self) -> tuple[view.ListedRequest, ...] | None:
        if not self._recent.size:
            return None
        return tuple(map(listed, self._recent.newest_first()))

    def _configuration(self) -> view.ConfigurationCard:
        return view.ConfigurationCard(
            settings=tuple(
                view.Setting(row.key, row.shown, row.source) for row in rows(self._loaded())
            ),
            warnings=self._loaded().warnings,
            loaded_at=self._reload.at,
            reload_problem=self._reload.problem,
        )


def _is_upstreams_fault(finished: Finished) -> bool:
    kind = KINDS.get(finished.error)
    return finished.status >= 500 if kind is None else kind.side is Side.UPSTREAM


def _without_token(snapshot: Snapshot) -> Verdict:
    if snapshot.cause is None:
        return Verdict(Level.WAIT, "Starting: the first token is being asked for.")
    attempt = snapshot.consecutive_failures
    if snapshot.code == "secret_unreadable":
        return Verdict(
            Level.BAD,
            f"Not ready: the issuer {snapshot.cause}. It is asked as soon as the secret is there.",
        )
    if snapshot.state is State.LATCHED:
        return Verdict(
            Level.BAD,
            f"Not ready: the issuer {snapshot.cause}. It is not asked in a loop; another secret is"
            " tried at once.",
            snapshot.next_try_at,
        )
    return Verdict(
        Level.BAD,
        f"Not ready: the issuer {snapshot.cause} (attempt {attempt}).",
        snapshot.next_try_at,
    )


def _token(snapshot: Snapshot) -> view.TokenCard:
    return view.TokenCard(
        state=snapshot.state,
        usable=snapshot.usable,
        fetching=snapshot.fetching,
        issued_at=snapshot.issued_at,
        expires_at=snapshot.expires_at,
        lifetime_seconds=snapshot.lifetime,
        lifetime_source=snapshot.lifetime_source,
        clock_skew_seconds=snapshot.clock_skew,
        fingerprint=snapshot.fingerprint,
        next_try_at=snapshot.next_try_at,
        consecutive_failures=snapshot.consecutive_failures,
        attempts=tuple(
            view.Attempt(each.at, each.result, each.cause, each.excerpt, each.duration)
            for each in snapshot.outcomes
        ),
    )


def listed(finished: Finished) -> view.ListedRequest:
    """Return a request as it may be shown: what the access log shows, by the access log's rules."""
    path, mark, _ = finished.target.partition(b"?")
    first_byte, sent = finished.first_byte, finished.sent
    return view.ListedRequest(
        at=finished.at,
        method=shown(finished.method, SECRETS.hide),
        path=shown(path, SECRETS.hide) + ("?…" if mark else ""),
        status=finished.status,
        side=str(finished.side),
        error=finished.error,
        seconds=finished.duration,
        upstream_seconds=None if first_byte is None or sent is None else first_byte - sent,
        request_bytes=finished.request_bytes,
        response_bytes=finished.response_bytes,
        id=shown(finished.request_id, SECRETS.hide),
        said=SECRETS.hide(finished.detail),
    )


def _urls(listen: tuple[str, ...]) -> str:
    return " and ".join(
        each if each.startswith(("unix:", "fd:")) else f"http://{each}" for each in listen
    )


def _memory_bytes() -> int:
    """Return the resident memory; 0 where /proc is missing."""
    return _memory("self")[0]


def _own_memory_bytes(pid: int) -> int:
    """Return what *pid* has of that and shares with no file."""
    resident, shared = _memory(str(pid))
    return resident - shared


def _memory(process: str) -> tuple[int, int]:
    try:
        _, resident, shared, *_ = Path(f"/proc/{process}/statm").read_text().split()
        return int(resident) * _PAGE_BYTES, int(shared) * _PAGE_BYTES
    except (OSError, ValueError):
        return 0, 0
