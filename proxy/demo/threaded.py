"""The embedded API for code that has no event loop: the same object, in a thread of its own."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from proxy.demo.server import DemoAPI, Profile
from proxy.demo.stats import Stats

T = TypeVar("T")

_PATIENCE_SECONDS: Final = 10.0


class ThreadedDemoAPI:
    """
    A DemoAPI that runs between ``with`` and its end, and may be used from any thread.

    Takes DemoAPI's parameters. Calls block for the moment that the other thread needs.
    """

    def __init__(self, **options: Any) -> None:
        self._api = DemoAPI(**options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="bearer-proxy-demo", daemon=True
        )

    def __repr__(self) -> str:
        return f"<ThreadedDemoAPI {self._api.origin}>"

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._wait(self._api.start())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._wait(self._api.stop())
        finally:
            self._end()

    @property
    def client_id(self) -> str:
        """The one client that the issuer knows."""
        return self._api.client_id

    @property
    def client_secret(self) -> str:
        """Its secret."""
        return self._api.client_secret

    @property
    def origin(self) -> str:
        """Scheme and authority."""
        return self._api.origin

    @property
    def url(self) -> str:
        """The base URL of the API, ending in ``/v1``."""
        return self._api.url

    @property
    def control_url(self) -> str:
        """Where faults are asked for over HTTP, ending in ``/_demo``."""
        return self._api.control_url

    def issue_url(self, profile: Profile = "hashrails") -> str:
        """Return where tokens are issued, in that dialect."""
        return self._api.issue_url(profile)

    def environment(self, profile: Profile = "hashrails") -> dict[str, str]:
        """Return the variables that point a proxy at this API. They hold the secret."""
        return self._api.environment(profile)

    def issue(self) -> str:
        """Return a valid token without asking the issuer, and without counting it."""
        return self._call(self._api.issue)

    def fault(self, name: str, **parameters: str | int | float) -> str:
        """Break something; see ``DemoAPI.fault``."""
        return self._call(lambda: self._api.fault(name, **parameters))

    def stats(self) -> Stats:
        """Return the counts of this moment."""
        return self._call(self._api.stats)

    def _call(self, call: Callable[[], T]) -> T:
        async def called() -> T:
            return call()

        return self._wait(called())

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE_SECONDS)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_SECONDS)
        self._loop.close()
