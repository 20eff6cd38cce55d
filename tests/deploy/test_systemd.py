"""The units: what systemd's own checks say of them, and their commands in a life of their own."""

import os
import shlex
import socket
import subprocess
from pathlib import Path

import pytest

from proxy.demo.threaded import ThreadedDemoAPI
from proxy.settings.names import VARIABLES
from tests.deploy.test_service_manager import Manager, Passed, asked, passing
from tests.e2e.process import COMMAND, PATIENCE_SECONDS, clean_environment
from tests.programs import needs

UNITS = Path(__file__).parent.parent.parent / "deploy" / "systemd"
INSTALLED, CONFIGURED = "/opt/bearer-proxy/bin/bearer-proxy", "/etc/bearer-proxy"
# Tenths: exposure is from 0 to 10.
MOST_EXPOSURE = 20


def settings(name: str) -> list[tuple[str, str]]:
    """Return the keys of a unit with their values, in their order."""
    lines = (UNITS / name).read_text().splitlines()
    pairs = (line.split("=", 1) for line in lines if line[:1].isalpha())
    return [(key, value) for key, value in pairs]


def one(key: str) -> str:
    """Return the value of a key that the service has once."""
    (value,) = (each for name, each in settings("bearer-proxy.service") if name == key)
    return value


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The units as they would be if the command that is tested were the one installed."""
    for unit in UNITS.iterdir():
        (tmp_path / unit.name).write_text(unit.read_text().replace(INSTALLED, str(COMMAND)))
    return tmp_path


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze to its end."""
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_SECONDS * 2,
        check=False,
    )


@needs("systemd-analyze")
def test_systemd_finds_nothing_to_say_about_the_units(here: Path) -> None:
    """
    No unknown key, no value that it ignores.
    """
    done = analyze("verify", "--man=no", *sorted(here.iterdir()))
    assert (done.returncode, done.stdout) == (0, "")


@needs("systemd-analyze")
def test_the_service_is_exposed_as_little_as_a_proxy_can_be(here: Path) -> None:
    """
    At most 2.0 of 10, as systemd counts: a network is what it can't do without.
    """
    service = here / "bearer-proxy.service"
    limit = ("security", "--offline=true", f"--threshold={MOST_EXPOSURE}", service)
    done = analyze(*limit)
    assert done.returncode == 0, done.stdout
    service.write_text(service.read_text().replace("ProtectSystem=strict\nProtectHome=yes\n", ""))
    text = service.read_text()
    service.write_text(
        text.replace("CapabilityBoundingSet=\n", "").replace("DynamicUser=yes\n", "")
    )
    assert analyze(*limit).returncode != 0


def test_the_units_say_what_the_proxy_knows() -> None:
    """
    Its variables, its kind of readiness, its exit codes, a stop that outlasts the drain.
    """
    assert one("Type") == "notify"
    assert one("RestartPreventExitStatus") == "2 78"
    assert float(one("TimeoutStopSec")) > 25
    given = [
        value.partition("=")
        for key, value in settings("bearer-proxy.service")
        if key == "Environment"
    ]
    assert {name for name, _, _ in given} <= set(VARIABLES)
    listens = [value for key, value in settings("bearer-proxy.socket") if key.startswith("Listen")]
    assert listens == ["127.0.0.1:8080"]


def test_its_commands_live_the_life_of_a_unit(tmp_path: Path) -> None:
    """
    Started with the credential and the socket, ready, reloaded, reloaded in vain, stopped.
    """
    credentials = tmp_path / "credentials"
    credentials.mkdir(mode=0o700)
    name, _, source = one("LoadCredential").partition(":")
    assert source == f"{CONFIGURED}/client_secret"
    configuration = tmp_path / "config.toml"
    manager = Manager(str(tmp_path / "notify"))
    with ThreadedDemoAPI(client_id="acme") as api, manager.socket:
        (credentials / name).write_text(api.client_secret)
        text = (
            f'upstream.url = "{api.url}"\ntoken.client_id = "acme"\nadmin.address = "127.0.0.1:0"\n'
        )
        configuration.write_text(text)
        environment = {
            "CREDENTIALS_DIRECTORY": str(credentials),
            "NOTIFY_SOCKET": manager.address,
            "WATCHDOG_USEC": str(int(float(one("WatchdogSec")) * 1e6)),
        }
        for key, value in settings("bearer-proxy.service"):
            if key == "Environment":
                variable, _, set_to = value.partition("=")
                environment[variable] = set_to.replace("%t/bearer-proxy", str(tmp_path))
        start = _here(one("ExecStart"), tmp_path)
        assert start[:2] == [str(COMMAND), "run"]
        with (
            socket.create_server(("127.0.0.1", 0)) as listening,
            _Started(
                environment, tmp_path, arguments=start[2:], wrapper=passing(listening)
            ) as unit,
        ):
            manager.until("READY=1")
            unit.wait_for("proxy.ready")
            assert asked(socket.create_connection(listening.getsockname())) == b"HTTP/1.1 200 OK"
            admin = {"BEARER_PROXY_ADMIN_ADDRESS": str(unit.wait_for("listener.opened")["admin"])}

            configuration.write_text(text + "limits.queue = 5\n")
            done = _run(one("ExecReload"), {**environment, **admin}, tmp_path)
            assert (done.returncode, done.stdout) == (0, "Changed: limits.queue.\n")
            configuration.write_text(text + "limits.queue = -5\n")
            done = _run(one("ExecReload"), {**environment, **admin}, tmp_path)
            assert done.returncode == 1
            assert "limits.queue" in done.stderr

            assert unit.stop() == 0
        assert "STOPPING=1" in manager.all()


class _Started(Passed):
    """Without the addresses that tests set elsewhere: the unit has its own."""

    def __enter__(self) -> "_Started":
        del self._environment["BEARER_PROXY_ADMIN_ADDRESS"]
        super().__enter__()
        return self


def _here(line: str, directory: Path) -> list[str]:
    line = line.replace(INSTALLED, str(COMMAND)).replace(CONFIGURED, str(directory))
    return shlex.split(line)


def _run(
    line: str, environment: dict[str, str], directory: Path
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _here(line, directory),
        env={**clean_environment(), **environment, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
