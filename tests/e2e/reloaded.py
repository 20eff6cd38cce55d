"""A running command whose configuration file changes."""

import http.client
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from proxy.demo.threaded import ThreadedDemoAPI
from tests.e2e.process import PATIENCE_SECONDS, ProxyProcess

RELOADED, FAILED = "config.reloaded", "config.reload_failed"


class Reloaded:
    """
    ``bearer-proxy run`` over a file in *directory*, pointed to *api* until told otherwise.

    Its environment says where to listen, and nothing else: all else is the file's to change.
    """

    def __init__(self, api: ThreadedDemoAPI, directory: Path, text: str = "") -> None:
        self.api = api
        self.directory = directory
        self.file = directory / "config.toml"
        self.write(text)
        self.process = ProxyProcess(
            {"BEARER_PROXY_ADMIN_TOKEN_FILE": str(directory / "admin-token")},
            directory,
            arguments=("--config", str(self.file)),
        )

    def __enter__(self) -> Self:
        self.process.__enter__()
        return self

    def __exit__(self, *_: Any) -> None:
        self.process.__exit__(None, None, None)

    @cached_property
    def admin(self) -> str:
        """The admin listener's address."""
        return str(self.process.wait_for("listener.opened")["admin"])

    def write(self, text: str = "", *, api: ThreadedDemoAPI | None = None) -> None:
        """Replace the file: *text*, dotted keys at the top, and what points the proxy to *api*."""
        beside = self.directory / "beside.toml"
        beside.touch(0o600)
        beside.write_text(text + pointing_to(api or self.api, self.directory))
        os.replace(beside, self.file)

    def post(self) -> tuple[int, str]:
        """Reload by ``POST /-/reload``; return status and what was said."""
        token = (self.directory / "admin-token").read_text().strip()
        fields = {"Authorization": f"Bearer {token}"}
        status, body = self.ask_admin("/-/reload", "POST", fields)
        found = json.loads(body)
        return status, str(found["done"] if status == 200 else found["detail"])

    def hang_up(self, event: str = RELOADED) -> dict[str, Any]:
        """Reload by SIGHUP; return the log's line about it, which must be of *event*."""
        known = len(self.told(event))
        self.process.process.send_signal(signal.SIGHUP)
        return self.next_told(event, known)

    def told(self, event: str) -> list[dict[str, Any]]:
        """Return the log's lines of *event*."""
        return [line for line in self.process.log if line["event"] == event]

    def next_told(self, event: str, known: int) -> dict[str, Any]:
        """Wait for a line of *event* after *known* ones."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            lines = self.told(event)
            if len(lines) > known:
                return lines[known]
            time.sleep(0.01)
        raise AssertionError(f"no further {event} in:\n{self.process.output}")

    def ask_admin(
        self, path: str, method: str = "GET", fields: dict[str, str] | None = None
    ) -> tuple[int, str]:
        """Ask the admin listener; return status and body."""
        connection = http.client.HTTPConnection(self.admin, timeout=PATIENCE_SECONDS)
        with closing(connection):
            connection.request(method, path, headers=fields or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def page(self) -> str:
        """Return the status page."""
        return self.ask_admin("/", fields={"Accept": "text/html"})[1]

    def metric(self, name: str) -> float:
        """Return the sample of the metric *name*, given as it stands before the blank."""
        lines = self.ask_admin("/metrics")[1].splitlines()
        (value,) = (line.split()[1] for line in lines if line.split()[0] == f"bearer_proxy_{name}")
        return float(value)

    @contextmanager
    def connection(self) -> Iterator["Connection"]:
        """Give one connection to the data listener."""
        with closing(Connection(self.process.port)) as connection:
            yield connection

    def get(self, path: str) -> int:
        """Return the status of a request on a connection of its own."""
        with self.connection() as connection:
            return connection.get(path)


class Connection:
    """
    A client's connection that is kept, from *port*; the answer to its latest request is ``answer``.
    """

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        self._connection.connect()
        self._connection.auto_open = 0  # a connection that was closed is not made anew
        self.port = self._connection.sock.getsockname()[1]
        self.answer: http.client.HTTPResponse
        self.body = b""

    def get(
        self,
        path: str,
        method: str = "GET",
        body: bytes | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> int:
        """Ask; return the status."""
        self._connection.request(method, path, body, fields or {})
        self.answer = self._connection.getresponse()
        self.body = self.answer.read()
        return self.answer.status

    @property
    def code(self) -> str:
        """The code of the proxy's own answer."""
        return str(json.loads(self.body)["code"])

    def close(self) -> None:
        """Close it."""
        self._connection.close()


def pointing_to(api: ThreadedDemoAPI, directory: Path) -> str:
    """Return the keys that make *api* upstream and issuer; its secret is put into a file."""
    secret = directory / f"secret-{api.client_id}"
    if not secret.exists():
        secret.touch(0o600)
        secret.write_text(f"{api.client_secret}\n")
    return (
        f'upstream.url = "{api.url}"\ntoken.url = "{api.issue_url()}"\n'
        f'token.client_id = "{api.client_id}"\ntoken.client_secret_file = "{secret}"\n'
    )
