"""A proxy whose status page is looked at."""

import http.client
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.e2e.process import PATIENCE_SECONDS, ProxyProcess


class Watched:
    """``bearer-proxy run`` with its admin listener on a free port, between ``with`` and its end."""

    def __init__(self, environment: Mapping[str, str], directory: Path) -> None:
        self._token_file = directory / "admin.token"
        self.process = ProxyProcess(
            {
                **environment,
                "BEARER_PROXY_ADMIN_TOKEN_FILE": str(self._token_file),
                # A request without a token is refused rather than parked.
                "BEARER_PROXY_TOKEN_WAIT_SECONDS": "0.2",
            },
            directory,
        )

    def __enter__(self) -> Self:
        self.process.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.__exit__(kind, error, traceback)

    @property
    def page(self) -> str:
        """The status page's address."""
        return f"http://{self.process.wait_for('listener.opened')['admin']}/"

    @property
    def token(self) -> str:
        """The admin token."""
        return self._token_file.read_text().strip()

    @property
    def page_with_token(self) -> str:
        """What ``bearer-proxy status --url`` prints."""
        return f"{self.page}#token={self.token}"

    def wait_for_refreshes(self, number: int) -> None:
        """Return when that many tokens were issued."""
        end = time.monotonic() + PATIENCE_SECONDS
        while sum(line["event"] == "token.refreshed" for line in self.process.log) < number:
            assert time.monotonic() < end, self.process.output
            time.sleep(0.02)

    def get(self, path: str, **fields: str) -> int:
        """Send a request through the proxy; return its status."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.process.port, timeout=PATIENCE_SECONDS
        )
        try:
            connection.request("GET", path, headers=fields)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()
