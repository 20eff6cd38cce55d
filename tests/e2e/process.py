"""The installed command as a child process, with its log read line by line."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

COMMAND = Path(sys.executable).with_name("bearer-proxy")
PATIENCE_SECONDS = 15.0


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process' environment without settings of the proxy, and with *extra*."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("BEARER_PROXY")}
    return {**kept, **(extra or {})}


class ProxyProcess:
    """
    ``bearer-proxy run`` on a free port, between ``with`` and its end.

    ``log`` is what it has written to standard output, as JSON lines; ``errors`` what to standard
    error. Leaving the context kills whatever has not ended by itself.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        directory: Path,
        *,
        arguments: Sequence[str] = (),
        wrapper: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
    ) -> None:
        self._environment = clean_environment(
            {
                "BEARER_PROXY_LISTEN_ADDRESS": "127.0.0.1:0",
                "BEARER_PROXY_ADMIN_ADDRESS": "127.0.0.1:0",
                **environment,
            }
        )
        self._arguments = [*wrapper, str(COMMAND), "run", *arguments]
        self._pass_fds = pass_fds
        self._stdout = directory / "stdout"
        self._stderr = directory / "stderr"
        self.process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        with self._stdout.open("wb") as out, self._stderr.open("wb") as err:
            self.process = subprocess.Popen(
                self._arguments,
                env=self._environment,
                stdout=out,
                stderr=err,
                pass_fds=self._pass_fds,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_SECONDS)

    @property
    def log(self) -> list[dict[str, Any]]:
        """Every line of the log so far."""
        lines = self._stdout.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    @property
    def errors(self) -> str:
        """All of standard error so far."""
        return self._stderr.read_text()

    @property
    def output(self) -> str:
        """Everything that the process has printed."""
        return self._stdout.read_text() + self.errors

    def wait_for(self, event: str, **fields: object) -> dict[str, Any]:
        """Return the first log line of that *event* with those *fields*."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            for line in self.log:
                if line["event"] == event and fields.items() <= line.items():
                    return line
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        raise AssertionError(f"no {event} {fields} in:\n{self.output}")

    @property
    def address(self) -> str:
        """The address it listens on, once it does."""
        return str(self.wait_for("listener.opened")["listen"][0])

    @property
    def url(self) -> str:
        """The proxy as a URL, once it is ready."""
        self.wait_for("proxy.ready")
        return f"http://{self.address}"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.address.rpartition(":")[2])

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)


def command(
    *arguments: str, environment: Mapping[str, str] | None = None, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run ``bearer-proxy`` with *arguments* to its end."""
    return subprocess.run(
        [str(COMMAND), *arguments],
        env=clean_environment(environment),
        input=text,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS * 2,
        check=False,
    )
