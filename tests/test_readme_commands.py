"""Every command in the README's sections for its three kinds of user, executed as it stands."""

import os
import re
import shlex
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.demo.threaded import ThreadedDemoAPI
from tests.e2e.process import COMMAND, PATIENCE_SECONDS, clean_environment
from tests.programs import needs

README = (Path(__file__).parent.parent / "README.md").read_text()
REAL = "api.railsfromthecrypt.com"
pytestmark = [needs("bash"), needs("curl")]

# What docker does with the image and the compose file, done with processes: the proxy runs with the
# environment that the file gives it, and is up when what the image calls healthy is.
DOCKER = """\
#!/bin/bash
set -euo pipefail
case "$1 ${2-}" in
"build -t") [ "$3" = bearer-proxy ] && [ -f "$DOCKERFILE" ] ;;
"compose up")
    env $(<service.env) bearer-proxy run &
    echo $! >service.pid
    until bearer-proxy health >/dev/null; do sleep 0.1; done
    ;;
"compose exec")
    [ "$3 $4" = "app curl" ]
    shift 4
    curl --connect-to "hashrails:$PORT:127.0.0.1:$PORT" "$@"
    ;;
*) exit 125 ;;
esac
"""
LEAVING = """\
leave() {
    code=$?
    set +e
    [ ! -f service.pid ] || kill "$(<service.pid)"
    kill $(jobs -p) 2>/dev/null
    wait
    exit $code
}
trap leave EXIT
set -euo pipefail
"""


def section(title: str) -> str:
    """Return the text under the heading *title*."""
    match = re.search(rf"^### {title}\n(.*?)(?=^##)", README, re.DOTALL | re.MULTILINE)
    assert match, title
    return match[1]


def commands(title: str) -> list[str]:
    """Return what is typed in the consoles of that section."""
    consoles = re.findall(r"```console\n(.*?)```", section(title), re.DOTALL)
    return re.findall(r"^\$ (.+)$", "".join(consoles), re.MULTILINE)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Terminal:
    """A shell in a directory of its own, where the embedded API stands for the real one."""

    api: ThreadedDemoAPI
    directory: Path
    port: int
    admin_port: int

    def type_in(self, lines: list[str], **more: str) -> str:
        """Execute *lines*, each of which has to succeed; return what was printed."""
        self.write(".curlrc", "silent\nshow-error\nfail\n", 0o600)
        script = [LEAVING]
        for line in lines:
            script += [f"echo {shlex.quote('$ ' + line)}", *self._executed(self._here(line))]
        done = subprocess.run(
            ["bash", "-c", "\n".join(script)],
            cwd=self.directory,
            env=clean_environment(
                {
                    "HOME": str(self.directory),
                    "PATH": f"{self.directory}:{COMMAND.parent}:{os.environ['PATH']}",
                    "BEARER_PROXY_UPSTREAM_URL": self.api.url,
                    "BEARER_PROXY_LISTEN_ADDRESS": f"127.0.0.1:{self.port}",
                    "BEARER_PROXY_ADMIN_ADDRESS": f"127.0.0.1:{self.admin_port}",
                    "no_proxy": "",
                    **more,
                }
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_SECONDS * 3,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def _here(self, line: str) -> str:
        """Return *line* with the addresses of this place."""
        authority = self.api.origin.removeprefix("http://")
        return line.replace(":8080", f":{self.port}").replace(REAL, authority)

    def _executed(self, line: str) -> list[str]:
        if line.startswith("bearer-proxy run"):
            # Typed in a terminal that nothing else is typed in, until it is stopped.
            stop = 'if [ -n "$(jobs -p)" ]; then kill $(jobs -p); wait; fi'
            return [stop, f"{line} &", "bearer-proxy wait"]
        if line == "bearer-proxy init":
            answers = ("1", self.api.client_id, self.api.client_secret)
            return [f"printf '%s\\n' {shlex.join(answers)} | {line}"]
        if line.startswith("chown ") and os.geteuid() != 0:
            line = line.partition(" && ")[2]
        return [line]

    def write(self, name: str, text: str, mode: int) -> None:
        """Make a file in the directory."""
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(mode)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal of somebody whose client is called acme, as in the README."""
    with ThreadedDemoAPI(client_id="acme") as api:
        yield Terminal(api, tmp_path, free_port(), free_port())


def test_a_person_with_curl(terminal: Terminal) -> None:
    """
    Variables, then a file by three questions: both are checked, run and asked.
    """
    typed = commands("A person with curl")
    assert len(typed) == 9
    terminal.write(".config/hashrails.secret", terminal.api.client_secret, 0o600)
    said = terminal.type_in(typed)
    assert said.count('"success": true') == 1
    assert "Ready. Requests to http://127.0.0.1:" in said
    assert said.count("  ok      upstream TLS") == 2
    assert terminal.api.client_secret not in said


def test_a_container_next_to_an_app(terminal: Terminal) -> None:
    """
    The service's environment is one that runs, is healthy, and serves by the service's name.
    """
    typed = commands("A container next to an app")
    assert len(typed) == 4
    (service,) = re.findall(
        r"^  hashrails:\n(.*?)^secrets:",
        section("A container next to an app"),
        re.DOTALL | re.MULTILINE,
    )
    variables = dict(re.findall(r"^ +(BEARER_PROXY_\w+): (.+)$", service, re.MULTILINE))
    assert len(variables) == 3
    variables["BEARER_PROXY_LISTEN_ADDRESS"] = f"0.0.0.0:{terminal.port}"
    assert variables["BEARER_PROXY_TOKEN_CLIENT_SECRET_FILE"] == "/run/secrets/hashrails"
    variables["BEARER_PROXY_TOKEN_CLIENT_SECRET_FILE"] = "hashrails.secret"
    terminal.write("service.env", "\n".join("=".join(each) for each in variables.items()), 0o600)
    terminal.write("hashrails.secret", terminal.api.client_secret, 0o600)
    terminal.write("docker", DOCKER, 0o700)
    dockerfile = str(Path(__file__).parent.parent / "Dockerfile")
    said = terminal.type_in(typed, DOCKERFILE=dockerfile, PORT=str(terminal.port))
    assert said.count('"success": true') == 1


def test_a_legacy_tool_that_knows_no_oauth(terminal: Terminal) -> None:
    """
    By a base URL, in a shell, at a socket, by http_proxy: each gets what needs a token.
    """
    typed = commands("A legacy tool that knows no OAuth")
    assert len(typed) == 4
    terminal.write("legacy-tool", '#!/bin/sh\nexec curl "$API_URL/transactions"\n', 0o700)
    said = terminal.type_in(["bearer-proxy init", *typed])
    assert said.count('"success": true') == 4
