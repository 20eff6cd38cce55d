"""``bearer-proxy demo [--check]``: the proxy in front of the embedded API, in one process."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from typing import Final, Protocol

import uvloop

from proxy.demo.server import DemoAPI
from proxy.demo.steps import outcomes
from proxy.demo.terminal import Terminal

_PROXY_PORT: Final = 8080
_STATUS_PORT: Final = 8081
_ANY_PORT: Final = "127.0.0.1:0"
# The issuer is in this very process; a token that is not there by then will not come.
_READY_SECONDS: Final = 10.0


class Running(Protocol):
    """A proxy that is listening. Installs no signal handlers of its own: they are the command's."""

    @property
    def addresses(self) -> Sequence[str]:
        """The addresses bound, as ``127.0.0.1:8080``; the first is shown."""
        ...

    @property
    def admin_address(self) -> str | None:
        """The status page's address in the same form; None when it has none."""
        ...

    @property
    def admin_url(self) -> str | None:
        """The status page's URL with the admin token; None when it has none."""
        ...

    async def ready(self) -> None:
        """Wait for the first token."""
        ...

    def next_refresh_seconds(self) -> float | None:
        """Return how far off the next refresh is; None when nobody knows."""
        ...


# Given BEARER_PROXY_* variables and nothing else, runs a proxy inside the calling event loop;
# leaving the context drains it.
Serve = Callable[[Mapping[str, str]], AbstractAsyncContextManager[Running]]


def run(check: bool, serve: Serve) -> int:
    """
    Run the demo until SIGINT or SIGTERM, or its checks; return the exit code.

    0: stopped, or all steps went well. 1: a step did not, no token came, or a second signal cut
    the drain short.
    """
    terminal = Terminal.stdout()
    try:
        return uvloop.run(_checked(serve, terminal) if check else _shown(serve, terminal))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 1


async def _shown(serve: Serve, terminal: Terminal) -> int:
    with _stopped_by_signals() as stopped:
        async with DemoAPI() as api, _serving_a_person(api, serve) as running:
            if not await _is_ready(running):
                return 1
            _introduce(api, running, terminal)
            await stopped.wait()
    return 0


async def _checked(serve: Serve, terminal: Terminal) -> int:
    failures = 0
    async with DemoAPI() as api, _start_proxy(api, serve, _for_checks()) as running:
        if not await _is_ready(running):
            return 1
        async for outcome in outcomes(api, f"http://{running.addresses[0]}"):
            failures += not outcome.ok
            mark = terminal.paint("✓", "green") if outcome.ok else terminal.paint("✗", "red")
            terminal.line(f"  {mark}  {outcome.step:<56}  {outcome.seen}")
    return 1 if failures else 0


def _start_proxy(
    api: DemoAPI, serve: Serve, settings: Mapping[str, str]
) -> AbstractAsyncContextManager[Running]:
    # Nothing of this process' environment: a person's own settings must not bend the demo.
    return serve({**api.environment(), **settings})


@asynccontextmanager
async def _serving_a_person(api: DemoAPI, serve: Serve) -> AsyncIterator[Running]:
    settings = _for_a_person()
    async with AsyncExitStack() as stack:
        try:
            running = await stack.enter_async_context(_start_proxy(api, serve, settings))
        except Exception:
            # Perhaps somebody took a port since it was looked at; if none did, that was not it.
            now = _for_a_person()
            if now == settings:
                raise
            running = await stack.enter_async_context(_start_proxy(api, serve, now))
        yield running


def _for_a_person() -> dict[str, str]:
    return {
        "BEARER_PROXY_LISTEN_ADDRESS": _if_free(_PROXY_PORT),
        "BEARER_PROXY_ADMIN_ADDRESS": _if_free(_STATUS_PORT),
        "BEARER_PROXY_LOG_FORMAT": "console",
        # A stream that was left open must not keep the demo from ending.
        "BEARER_PROXY_DRAIN_TIMEOUT_SECONDS": "1",
    }


def _for_checks() -> dict[str, str]:
    return {
        "BEARER_PROXY_LISTEN_ADDRESS": _ANY_PORT,
        "BEARER_PROXY_ADMIN_ADDRESS": "off",
        "BEARER_PROXY_LOG_FORMAT": "console",
        "BEARER_PROXY_LOG_LEVEL": "warning",
        "BEARER_PROXY_LOG_ACCESS": "off",
        "BEARER_PROXY_DRAIN_TIMEOUT_SECONDS": "1",
    }


def _if_free(port: int) -> str:
    with socket.socket() as probe:
        # As asyncio binds: connections that linger in TIME_WAIT do not take a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            # With that option it is listening that fails where another one listens.
            probe.listen(1)
        except OSError:
            return _ANY_PORT
    return f"127.0.0.1:{port}"


async def _is_ready(running: Running) -> bool:
    try:
        async with asyncio.timeout(_READY_SECONDS):
            await running.ready()
    except TimeoutError:
        sys.stderr.write(f"bearer-proxy: the demo got no token in {_READY_SECONDS:.0f} s\n")
        return False
    return True


def _introduce(api: DemoAPI, running: Running, terminal: Terminal) -> None:
    proxy = f"http://{running.addresses[0]}"
    refresh = running.next_refresh_seconds()
    token = f"token issued, valid {api.token_seconds:.0f} s"
    token += "" if refresh is None else f", next refresh in {refresh:.0f} s"
    parts = [
        ("embedded API", api.url, "refuses requests without a token"),
        ("proxy", proxy, token),
    ]
    if running.admin_address is not None:
        # With the token for its buttons, which is for the person at the terminal alone.
        page = running.admin_url if terminal.stream.isatty() else None
        parts.append(("status page", page or f"http://{running.admin_address}", ""))
    parts.append(("faults", api.control_url, "what can be broken on demand, by POST"))
    terminal.rows(*parts)
    terminal.rows(
        ("1", f"curl {api.url}/transactions", "→ 401 without the proxy"),
        ("2", f"curl {proxy}/transactions", "→ 200 with it"),
        ("3", f"curl -N {proxy}/ticks", "a stream"),
    )
    if not proxy.endswith(f":{_PROXY_PORT}"):
        terminal.line(f"  Port {_PROXY_PORT} is taken, so the proxy has a free one. Ctrl-C stops.")
    else:
        terminal.line("  Ctrl-C stops.")


@contextmanager
def _stopped_by_signals() -> Iterator[asyncio.Event]:
    """Set the event at the first SIGINT or SIGTERM; cancel the calling task at the second."""
    loop, task, stopped = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()

    def received() -> None:
        if stopped.is_set() and task is not None:
            task.cancel()
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, received)
    try:
        yield stopped
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
