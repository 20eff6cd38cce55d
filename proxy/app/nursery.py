"""Where worker processes come from."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Mapping

_START_SECONDS = 20.0


class Nursery:
    """The process that workers are forked from: it never sees a secret, and so neither do they."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._turn = asyncio.Lock()

    async def bear(self, *ends: socket.socket) -> int:
        """Return the process id of a new worker that has these *ends*; OSError without one."""
        async with self._turn:
            if self._line is None or self._process is None or self._process.poll() is not None:
                self._start()
            assert self._line is not None
            socket.send_fds(self._line, [b"w"], [each.fileno() for each in ends])
            async with asyncio.timeout(_START_SECONDS):
                said = await asyncio.get_running_loop().run_in_executor(None, self._line.recv, 32)
            if not said:
                raise OSError("the process that workers are forked from has ended")
            return int(said)

    def _start(self) -> None:
        self.close()
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.settimeout(_START_SECONDS)
        with theirs:
            self._process = subprocess.Popen(
                # -P: what lies in the working directory is none of ours.
                [sys.executable, "-P", "-m", "proxy.worker", str(theirs.fileno())],
                env={**self._environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def close(self) -> None:
        """End it; workers end when their own pipes do."""
        if self._line is not None:
            self._line.close()
            self._line = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
