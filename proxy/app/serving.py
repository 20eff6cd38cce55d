"""A proxy at work inside a running event loop: its parts, in the order of their start."""

import asyncio
import errno
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import structlog
from aiohttp import web

from proxy import __version__, log
from proxy.admin import server, token
from proxy.app import compose
from proxy.app.carrier import Carrier, Entrance
from proxy.app.compose import StartError
from proxy.app.console import AppConsole
from proxy.app.journal import LATER_SECONDS, Journal, TracedJournal
from proxy.app.vitals import AppVitals, RefreshWatch, Reload, duration, readings
from proxy.dataplane import Exchange, Listener, Plane, Pool, Route, traced_by
from proxy.log import AccessLog, Output
from proxy.log.traced import TracedAccessLog
from proxy.metrics import Counts, Exposition, Readings, Recent, Traffic
from proxy.metrics.traffic import TICK_SECONDS
from proxy.settings.address import UnixAddress
from proxy.settings.load import Loaded, load
from proxy.settings.model import Settings
from proxy.tokens import Outcome

if TYPE_CHECKING:
    from proxy.app.fleet import Fleet, Manner
    from proxy.app.tracing import Tracing
    from proxy.app.view import Viewer

_log = structlog.get_logger()


class Running:
    """
    A proxy that is listening.

    Made by ``serving``. It installs no signal handlers: the process is its owner's.
    """

    def __init__(self, loaded: Loaded, output: Output) -> None:
        settings = loaded.settings
        self.loaded = loaded
        self.output = output
        self.trust_mark = compose.trust_mark(settings)
        self.tls = compose.tls_context(settings)
        self.tokens = compose.tokens(loaded, self.tls)
        rules = compose.rules(settings)
        self.tracing = self._tracing()
        self.counts = Counts()
        self.recent = Recent(settings.admin.recent_requests)
        self.access_log, self.journal = self._accounts()
        pool = Pool(compose.destination(settings, self.tls))
        route = compose.route(settings, rules, tokens=self.tokens, pool=pool)
        self.fleet = self._fleet(route) if settings.process.workers else None
        self.plane: Carrier = self.fleet or self._own_plane(route)
        fleet = self.fleet
        self.vitals = AppVitals(
            self.plane,
            self.tokens.snapshot,
            workers=(lambda: len(fleet.pids)) if fleet else None,
        )
        self.reload = Reload(time.time())
        self._exposition = Exposition(
            self.counts,
            self._readings,
            version=__version__,
        )
        self._started_at = time.time()
        self._traffic = Traffic(self.counts, now=self._started_at)
        self._looked_through: Viewer | None = None
        self.console = AppConsole(
            self._viewer, self.tokens, listen=lambda: self.addresses, begin_drain=self._begin_drain
        )
        self._listener: Entrance = (
            self.fleet.entrance if self.fleet else Listener(cast(Plane, self.plane))
        )
        self._admin_token = token.new()
        self._tick_timer: asyncio.TimerHandle | None = None
        self._draining: asyncio.Task[int] | None = None
        self._first_token = asyncio.Event()
        self._admin: server.Running | None = None

    # What few have is imported for those alone: the start is the quicker by a few milliseconds.

    def _tracing(self) -> "Tracing | None":
        if not self.settings.tracing.enabled:
            return None
        from proxy.app.tracing import tracing

        return tracing(self.settings, os.environ)

    def _viewer(self) -> "Viewer":
        if self._looked_through is None:
            from proxy.app.view import Viewer

            fleet = self.fleet
            self._looked_through = Viewer(
                lambda: self.loaded,
                self.plane,
                self.recent,
                self._traffic,
                self.reload,
                settle=self.journal.flush,
                workers=(lambda: fleet.pids) if fleet else tuple,
                started_at=self._started_at,
            )
        return self._looked_through

    def _accounts(self) -> tuple[AccessLog, Journal]:
        policy, output = self.settings.log.access, self.output
        later = partial(asyncio.get_running_loop().call_later, LATER_SECONDS)
        if self.tracing is None:
            access_log = AccessLog(policy, output)
            return access_log, Journal(self.counts, self.recent, access_log, later=later)
        access_log = TracedAccessLog(policy, output)
        return access_log, TracedJournal(
            self.counts, self.recent, access_log, self.tracing.tell, later=later
        )

    def _own_plane(self, route: Route) -> Plane:
        return Plane(
            route,
            limits=compose.limits(self.settings),
            journal=self.journal,
            exchange=traced_by(self.tracing.tracer) if self.tracing else Exchange,
        )

    def _fleet(self, route: Route) -> "Fleet":
        from proxy.app.fleet import Accounts, Fleet

        workers, connections = self.settings.process.workers, self.settings.upstream.connections
        if workers > connections:
            raise StartError(
                f"process.workers is {workers}, but upstream.connections only {connections}: each"
                " worker needs one"
            )
        return Fleet(
            route,
            compose.limits(self.settings),
            number=workers,
            accounts=Accounts(self.counts, self.recent, self.output.console),
            manner=self._manner,
            environment=compose.without_secrets(os.environ, self.loaded),
        )

    def _manner(self) -> "Manner":
        from proxy.app.fleet import Manner

        return Manner(
            level=self.settings.log.level,
            access=self.settings.log.access,
            drain_seconds=self.settings.drain.timeout_seconds,
            authorities=compose.authorities(self.settings),
        )

    @property
    def settings(self) -> Settings:
        """What is in force."""
        return self.loaded.settings

    @property
    def addresses(self) -> list[str]:
        """The addresses bound, as ``127.0.0.1:8080`` or ``unix:/path``."""
        return [str(address) for address in self._listener.bound]

    @property
    def admin_address(self) -> str | None:
        """Where the admin listener is, or None when it is off."""
        return self._admin.address if self._admin else None

    @property
    def admin_url(self) -> str | None:
        """The status page with the admin token: for the person at the terminal and nobody else."""
        return token.url(self._admin.address, self._admin_token) if self._admin else None

    async def ready(self) -> None:
        """Wait for the first token."""
        await self._first_token.wait()

    def next_refresh_seconds(self) -> float | None:
        """Return how far off the next refresh is; None while there is no token."""
        snapshot = self.tokens.snapshot()
        return snapshot.next_try_in if snapshot.usable else None

    async def drain(self, timeout_seconds: float) -> int:
        """Accept no more, let what is in flight finish; return how many were cut off."""
        self._listener.stop()
        return await self.plane.drain(timeout_seconds)

    async def taken(self) -> None:
        """Wait until what serves serves by the configuration in force."""
        if self.fleet is not None:
            await self.fleet.taken()

    def warn_of_exposures(self) -> None:
        """Log what is open beyond the loopback."""
        for exposed in compose.exposures(self.settings, self.addresses):
            _log.warning("listener.exposed", listen=self.addresses, message=exposed)

    def _begin_drain(self) -> None:
        if self._draining is None:
            seconds = self.settings.drain.timeout_seconds
            self._draining = asyncio.create_task(self.drain(seconds), name="drain")

    async def _drained(self) -> None:
        """End a drain that somebody began, at the end of everything."""
        if self._draining is not None:
            self._draining.cancel()
            await asyncio.wait((self._draining,))

    # Called by ``serving``.

    async def start(self, stack: AsyncExitStack) -> None:
        """Open the listeners, then ask for the first token; whatever opens is closed by *stack*."""
        settings = self.settings
        stack.push_async_callback(self._drained)
        stack.callback(self.plane.close)
        if self.fleet is not None:
            try:
                await self.fleet.start()
            except OSError as error:
                raise StartError(f"cannot start worker processes: {error}") from None
        await self._listen()
        stack.callback(self._listener.stop)
        self.vitals.listening = True
        stack.callback(self.tokens.on_change(self._token_changed))
        refreshes = RefreshWatch(self.tokens.snapshot, self._refreshed)
        stack.callback(self.tokens.on_change(refreshes))
        await self.tokens.start()
        stack.push_async_callback(self.tokens.stop)
        await self._open_admin(stack)
        await self._control(server.ops_app(self.vitals, self._exposition), "ops", stack)
        _log.info(
            "listener.opened",
            listen=self.addresses,
            upstream=settings.upstream.url,
            version=__version__,
            **({"admin": self._admin.address} if self._admin else {}),
        )
        self.warn_of_exposures()

    async def _open_admin(self, stack: AsyncExitStack) -> None:
        """Open the admin listener and leave its token where ``bearer-proxy status`` finds it."""
        log.protect(self._admin_token)
        app = server.admin_app(self.vitals, self._exposition, self.console, token=self._admin_token)
        self._admin = await self._control(app, "admin", stack)
        if self._admin is None:
            return
        self._tick_later()
        stack.callback(self._stop_ticking)
        configured = self.settings.admin.token_file
        path = Path(configured) if configured else token.usual_path(self._admin.address, os.environ)
        try:
            if not configured:
                token.make_private(path.parent)
            token.save(self._admin_token, path)
        except OSError as error:
            # A read-only root: actions are for whoever has seen the address.
            _log.warning("admin.token_not_saved", path=str(path), error=error)
            return
        stack.callback(token.forget, self._admin_token, path)

    def _readings(self) -> Readings:
        self.journal.flush()
        workers = len(self.fleet.pids) if self.fleet else 0
        return readings(self.plane, self.tokens.snapshot(), self.reload, workers=workers)

    def _tick_later(self) -> None:
        self._tick_timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        self.journal.flush()
        self._traffic.tick(time.time())
        self._tick_later()

    def _stop_ticking(self) -> None:
        if self._tick_timer is not None:
            self._tick_timer.cancel()

    async def _listen(self) -> None:
        configured = self.settings.listen.address
        try:
            await self._listener.start(compose.addresses(self.settings.listen))
        except OSError as error:
            places = " ".join(str(address) for address in configured)
            raise StartError(_no_listener(places, error, "listen.address", "another")) from None

    async def _control(
        self, app: web.Application, name: str, stack: AsyncExitStack
    ) -> server.Running | None:
        address = getattr(self.settings, name).address
        if address is None:
            return None
        if isinstance(address, UnixAddress):
            raise StartError(f"{name}.address must be host:port or off")
        try:
            running = await server.start(app, str(address))
        except OSError as error:
            key = f"{name}.address"
            raise StartError(_no_listener(str(address), error, key, "another or to off")) from None
        stack.push_async_callback(running.stop)
        return running

    def _token_changed(self) -> None:
        credential = self.tokens.cache.current()
        if credential is None:
            return
        log.protect(credential.token, rotating=True)
        if not self._first_token.is_set():
            self._first_token.set()
            self.vitals.had_a_token = True
            self._say_ready()

    def _refreshed(self, outcome: Outcome) -> None:
        self.counts.refreshed(outcome.duration)
        if self.tracing is not None:
            self.tracing.tell_issuance(self.settings.token.url, outcome)

    def _say_ready(self) -> None:
        snapshot = self.tokens.snapshot()
        local = self.addresses[0]
        shown = local if local.startswith(("unix:", "fd:")) else f"http://{local}"
        valid = duration(snapshot.expires_in or 0)
        _log.info(
            "proxy.ready",
            message=f"{shown} → {self.settings.upstream.url} token valid {valid}",
            listen=self.addresses,
            upstream=self.settings.upstream.url,
            token_expires_in_seconds=round(snapshot.expires_in or 0),
        )


def _no_listener(address: str, error: OSError, key: str, to: str) -> str:
    reason = (error.strerror or str(error)).lower()
    free = "free it, or " if error.errno == errno.EADDRINUSE else ""
    variable = f"BEARER_PROXY_{key.replace('.', '_').upper()}"
    return f"cannot listen on {address}: {reason}; {free}set {key} ({variable}) to {to}"


@asynccontextmanager
async def serving(loaded: Loaded, output: Output) -> AsyncIterator[Running]:
    """
    Run the proxy that *loaded* describes until the context is left, which drains it.

    StartError when an address can't be had; nothing stays open then.
    """
    for warning in loaded.warnings:
        _log.warning("configuration.questionable", message=warning)
    async with AsyncExitStack() as stack:
        running = Running(loaded, output)
        if running.tracing is not None:
            stack.push_async_callback(running.tracing.stop)
        stack.callback(running.journal.flush)
        await running.start(stack)
        yield running
        await running.drain(running.settings.drain.timeout_seconds)


@asynccontextmanager
async def serving_from_environment(environ: Mapping[str, str]) -> AsyncIterator[Running]:
    """Run a proxy configured by *environ* alone: no file, no flag, not this process' variables."""
    loaded = load({}, environ)
    output = log.configure(loaded.settings.log.format, loaded.settings.log.level)
    async with serving(loaded, output) as running:
        yield running
