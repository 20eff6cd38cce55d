"""Fixtures: an HTTPS API with certificates of its own, and the proxy in front of it."""

import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from proxy.demo.threaded import ThreadedDemoAPI
from tests.e2e.process import ProxyProcess


@pytest.fixture(scope="session", autouse=True)
def _hear_signals() -> None:
    """
    Have the processes of these tests hear every signal.

    What was started in the background (``&``, ``nohup``) ignores some, and hands that down.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority that no system trusts."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its certificate, as a file."""
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def api(authority: trustme.CA) -> Iterator[ThreadedDemoAPI]:
    """The embedded API, speaking https on the loopback."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with ThreadedDemoAPI(tls=context) as api:
        yield api


@pytest.fixture
def environment(api: ThreadedDemoAPI, ca_file: Path) -> dict[str, str]:
    """What points a proxy at the API."""
    return {**api.environment(), "BEARER_PROXY_UPSTREAM_CA_FILE": str(ca_file)}


@pytest.fixture
def proxy(environment: dict[str, str], tmp_path: Path) -> Iterator[ProxyProcess]:
    """The installed command, running and ready."""
    with ProxyProcess(environment, tmp_path) as process:
        process.wait_for("proxy.ready")
        yield process
