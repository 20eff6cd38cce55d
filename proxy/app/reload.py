"""
Another configuration for a running proxy: what can change does, and the rest is named.

Rule 1: it is read and validated as a whole, and all that may fail is done before anything changes.
        What can't be used changes nothing.

Rule 2: what changes, changes between two turns of the loop. A request is judged, sent and answered
        by one configuration, the one that it began with.

Rule 3: a token goes where its own configuration sends it. Requests share a token cache for as long
        as all of them are one client's, or all go to one server. Whoever would be the second of
        both gets a cache of its own: the new token is had first, and client and upstream change
        together. What waits under the former configurations counts, whatever shows of it.

Rule 4: keys are told, values never.

Rule 5: what guards the API is not taken away by an accident. A file that said something and says
        nothing any more was not written to its end.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from ssl import SSLContext
from time import time
from typing import TYPE_CHECKING, cast

import structlog

from proxy.admin.console import Refusal
from proxy.app import compose
from proxy.app.compose import StartError
from proxy.app.secret import ProtectedSecret
from proxy.dataplane import Destination, Limits, Pool
from proxy.policy.rules import Rules
from proxy.settings.load import Loaded
from proxy.settings.model import Settings
from proxy.settings.names import KEYS
from proxy.settings.report import SettingsError, printable
from proxy.tokens import IssuerConfig, NoToken

if TYPE_CHECKING:
    from proxy.app.carrier import CarrierPool
    from proxy.app.serving import Running

_log = structlog.get_logger()

# A listening socket, a file that others were told of, a format in the middle of a log: these belong
# to the process. Every other key is live.
AT_START = frozenset(
    (
        "listen.address",
        "listen.socket_mode",
        "listen.socket_owner",
        "admin.address",
        "admin.token_file",
        "ops.address",
        "log.format",
        "process.workers",
        "tracing.enabled",
        "tracing.endpoint",
    )
)
# Live, but for a listener of the one configuration nothing may be taken from the other: a TCP port
# knows no users, and a socket that they guarded must not be left open.
_WITH_THE_LISTENER = frozenset(("listen.allowed_uids",))


@dataclass(frozen=True, slots=True)
class Difference:
    """
    What another configuration comes to.

    *loaded* is what will be in force: the new one, but for the keys *waiting* for the next start.
    *changed* are the keys that change now, and those whose file has another content.
    """

    loaded: Loaded
    changed: tuple[str, ...]
    waiting: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What is to be said of it."""
        said = f"Changed: {', '.join(self.changed)}." if self.changed else "Nothing changes now."
        if self.waiting:
            said += f" At the next start: {', '.join(self.waiting)}."
        return said


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a reload went, and the sentence on it."""

    ok: bool
    said: str


def difference(now: Loaded, new: Loaded) -> Difference:
    """Return what *new* comes to for a proxy that runs by *now*; StartError by Rule 5."""
    if _is_from_file(now) and not _is_from_file(new):
        raise StartError(f"{new.path} is empty; if that is meant, start the proxy anew")
    different = [path for path in KEYS if _value(now.settings, path) != _value(new.settings, path)]
    moves = now.settings.listen.address != new.settings.listen.address
    late = AT_START | _WITH_THE_LISTENER if moves else AT_START
    waiting = tuple(path for path in different if path in late)
    loaded = replace(
        new,
        settings=_kept(now.settings, new.settings, waiting),
        provenance={**new.provenance, **{path: now.provenance[path] for path in waiting}},
        warnings=(*new.warnings, *(f"{path} changes at the next start" for path in waiting)),
    )
    changed = tuple(path for path in different if path not in late)
    return Difference(loaded, changed, waiting)


def _is_from_file(loaded: Loaded) -> bool:
    """Tell whether any key was given in the file."""
    return any(origin.kind == "file" for origin in loaded.provenance.values())


def _with(found: Difference, path: str) -> Difference:
    """Return *found* with *path* among its changes."""
    if path in found.changed:
        return found
    return replace(found, changed=tuple(each for each in KEYS if each in (*found.changed, path)))


def _value(settings: Settings, path: str) -> object:
    table, _, name = path.partition(".")
    return getattr(getattr(settings, table), name)


def _kept(now: Settings, new: Settings, waiting: tuple[str, ...]) -> Settings:
    for path in waiting:
        table, _, name = path.partition(".")
        kept = getattr(new, table).model_copy(update={name: _value(now, path)})
        new = new.model_copy(update={table: kept})
    return new


@dataclass(frozen=True, slots=True)
class _Prepared:
    """All that another configuration needs and that may be missing, had before anything changes."""

    found: Difference
    mark: object
    tls: SSLContext
    rules: Rules
    limits: Limits


class Reloader:
    """
    Brings *running* to the configuration of the moment, one reading at a time.

    Whoever asks while a reading waits for its turn gets what comes of that one.
    """

    def __init__(self, running: "Running") -> None:
        self._running = running
        # Entered for each reading, by whoever has to tell others that one is under way.
        self.around: Callable[[], AbstractContextManager[None]] = nullcontext
        self._turn = asyncio.Lock()
        self._waiting: asyncio.Task[Outcome] | None = None
        self._tasks: set[asyncio.Task[Outcome]] = set()
        self._stopped = False
        # Whose tokens the cache in use has had, and where they were sent.
        self._clients = {running.tokens.config.identity}
        self._places = {_place(running.plane.route.pool.destination)}

    def ask(self) -> None:
        """Reload, and tell the log alone what came of it: for a signal. Nothing after ``stop``."""
        if not self._stopped:
            self._next()

    async def reload(self) -> str:
        """Reload, and return what changed; Refusal if the configuration can't be used."""
        # Whoever asked may leave; what was begun goes on.
        outcome = await asyncio.shield(self._next())
        if not outcome.ok:
            raise Refusal(outcome.said)
        return outcome.said

    async def stop(self) -> None:
        """Break off what is under way: the process ends."""
        self._stopped = True
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _next(self) -> "asyncio.Task[Outcome]":
        if self._waiting is None:
            self._waiting = asyncio.create_task(self._in_turn(), name="reload")
            self._tasks.add(self._waiting)
            self._waiting.add_done_callback(self._tasks.discard)
        return self._waiting

    async def _in_turn(self) -> Outcome:
        async with self._turn:
            self._waiting = None
            return await self._outcome()

    async def _outcome(self) -> Outcome:
        record = self._running.reload
        try:
            with self.around():
                found = await self._reload()
        except (SettingsError, StartError, NoToken) as error:
            record.succeeded, record.problem = False, _problem(error)
            _log.error("config.reload_failed", message=record.problem)
            return Outcome(False, f"Nothing has changed: {record.problem}.")
        except Exception as error:
            # A defect of ours must not pass for a configuration that is in force.
            record.succeeded, record.problem = False, f"it failed ({type(error).__name__})"
            _log.exception("config.reload_failed", message=record.problem)
            return Outcome(False, f"The configuration could not be taken: {record.problem}.")
        record.at, record.succeeded, record.problem = time(), True, ""
        say: Callable[..., object] = _log.warning if found.waiting else _log.info
        say("config.reloaded", changed=found.changed, at_next_start=found.waiting)
        return Outcome(True, found.sentence)

    async def _reload(self) -> Difference:
        running = self._running
        prepared = await asyncio.to_thread(self._prepared)
        found, tls = prepared.found, prepared.tls
        destination = compose.destination(found.loaded.settings, tls)
        former = running.tokens.cache
        await self._follow(found.loaded, tls, destination)
        # From here on nothing waits, and nothing fails.
        known = running.loaded.warnings
        self._change_route(prepared, destination)
        running.loaded, running.trust_mark, running.tls = found.loaded, prepared.mark, tls
        if running.tokens.cache is not former:
            former.end()
        self._tell(found, known)
        await running.taken()
        return found

    def _prepared(self) -> _Prepared:
        """Read everything, in a thread; nothing that is in use changes."""
        running = self._running
        found = difference(running.loaded, running.loaded.again())
        settings = found.loaded.settings
        mark, tls = compose.trust_mark(settings), running.tls
        if mark != running.trust_mark:
            tls = compose.tls_context(settings)
            if settings.upstream.ca_file is not None:
                found = _with(found, "upstream.ca_file")
        rules = compose.rules(settings)
        if rules.callers.tokens != running.plane.route.rules.callers.tokens:
            found = _with(found, "listen.local_token_file")
        return _Prepared(found, mark, tls, rules, compose.limits(settings))

    async def _follow(self, loaded: Loaded, tls: SSLContext, destination: Destination) -> None:
        """Have tokens kept by *loaded*; where nothing of theirs changes, have the secret read."""
        tokens = self._running.tokens
        config = compose.issuer(loaded.settings)
        clients, places = {config.identity}, {_place(destination)}
        apart = len(self._clients | clients) > 1 and len(self._places | places) > 1
        if apart or self._is_news(loaded, config, tls):
            with compose.cache_file(loaded.settings) as path:
                secret = ProtectedSecret(loaded.secret)
                await tokens.follow(config, secret, tls=tls, cache_file=path, apart=apart)
        else:
            tokens.look_now()
        self._clients = clients if apart else self._clients | clients
        self._places = places if apart else self._places | places

    def _is_news(self, loaded: Loaded, config: IssuerConfig, tls: SSLContext) -> bool:
        """Tell whether tokens are kept in another way by *loaded* than they are now."""
        running, now = self._running, self._running.loaded
        return (
            config != running.tokens.config
            or tls is not running.tls
            or loaded.secret != now.secret
            or loaded.settings.token.cache_file != now.settings.token.cache_file
        )

    def _change_route(self, prepared: _Prepared, destination: Destination) -> None:
        tokens, plane = self._running.tokens, self._running.plane
        pool: CarrierPool = plane.route.pool
        if destination != pool.destination:
            pool = Pool(destination)
        settings = prepared.found.loaded.settings
        # One that stands for those of other processes is asked for nothing but its destination.
        pool = cast(Pool, pool)
        route = compose.route(settings, prepared.rules, tokens=tokens, pool=pool)
        plane.change(route, prepared.limits)

    def _tell(self, found: Difference, known: tuple[str, ...]) -> None:
        """Have log and page follow, and say what has become questionable; *known* was said."""
        running, settings = self._running, found.loaded.settings
        running.journal.flush()  # what is over was to be told as it was then
        running.output.follow(settings.log.level)
        running.access_log.follow(settings.log.access)
        running.recent.resize(settings.admin.recent_requests)
        for warning in found.loaded.warnings:
            if warning not in known:
                _log.warning("configuration.questionable", message=warning)
        if {"upstream.url", "token.client_id"} & set(found.changed):
            running.warn_of_exposures()


def _place(destination: Destination) -> tuple[object, ...]:
    """Return what tells one server from another."""
    return destination.host, destination.port, destination.tls is None


def _problem(error: Exception) -> str:
    """Return *error* as the end of a sentence, in one line."""
    if isinstance(error, SettingsError):
        said = "; ".join(
            " ".join(filter(None, (each.place, each.key))) + f": {each.message}"
            for each in error.problems
        )
        return printable(said)
    if isinstance(error, NoToken):
        return f"the issuer of the new configuration {error}, and the token at hand is still good"
    return str(error)


@asynccontextmanager
async def reloading(running: "Running") -> AsyncIterator[Reloader]:
    """Let *running* be reloaded, by its console as well, until the end of the block."""
    reloader = Reloader(running)
    running.console.on_reload = reloader.reload
    try:
        yield reloader
    finally:
        running.console.on_reload = None
        await reloader.stop()
