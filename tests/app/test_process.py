"""What other processes can learn of this one, seen from such a process."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.demo.threaded import ThreadedDemoAPI
from tests.e2e.process import PATIENCE_SECONDS, ProxyProcess

SECRET = "s3cret-of-the-environment"
# Root may read everything. Without its capabilities it is a user like any other.
_POWERLESS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="prctl and /proc are Linux'"),
    pytest.mark.skipif(bool(_POWERLESS) and not shutil.which("setpriv"), reason="needs setpriv"),
]


@pytest.fixture
def api() -> Iterator[ThreadedDemoAPI]:
    """The embedded API, for a client with a secret that is looked for."""
    with ThreadedDemoAPI(client_secret=SECRET) as api:
        yield api


@pytest.fixture
def proxy(api: ThreadedDemoAPI, tmp_path: Path) -> Iterator[ProxyProcess]:
    """The command, running as a user without capabilities, its secret in its environment."""
    environment = api.environment()
    assert SECRET in environment.values()
    with ProxyProcess(environment, tmp_path, wrapper=_POWERLESS) as process:
        process.wait_for("proxy.ready")
        yield process


def read_by_another(path: str) -> subprocess.CompletedProcess[bytes]:
    """Have another process of the same user read the beginning of *path*."""
    return subprocess.run(
        [*_POWERLESS, "head", "-c", "65536", path],
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def test_another_process_of_the_same_user_reads_neither_environment_nor_memory(
    proxy: ProxyProcess,
) -> None:
    """
    The initial environment, which has the secret for good, and memory are closed to it.
    """
    for name in ("environ", "mem", "auxv"):
        done = read_by_another(f"/proc/{proxy.process.pid}/{name}")
        assert done.returncode != 0, name
        assert b"denied" in done.stderr, name
        assert done.stdout == b"", name


def test_the_reader_would_read_a_process_that_does_not_mind() -> None:
    """
    It is the proxy that is closed: of any other process the same reader reads the environment.
    """
    with subprocess.Popen(
        [*_POWERLESS, "sleep", "60"], env={**os.environ, "NAME": SECRET}
    ) as careless:
        try:
            # Until it is exec'd it is a copy of this one.
            while b"sleep" not in read_by_another(f"/proc/{careless.pid}/comm").stdout:
                assert careless.poll() is None
            assert SECRET.encode() in read_by_another(f"/proc/{careless.pid}/environ").stdout
        finally:
            careless.kill()


def test_there_is_no_core_file(proxy: ProxyProcess) -> None:
    """
    A crash leaves no memory behind, and nobody raises that limit again.
    """
    limits = resource.prlimit(proxy.process.pid, resource.RLIMIT_CORE)
    assert limits == (0, 0)
