"""Off, which it is unless asked for: nothing is touched, nothing is imported, nothing is needed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.app.online import start_problem
from proxy.demo.threaded import ThreadedDemoAPI
from proxy.settings import load
from tests.dataplane.rig import Rig, Setup, get, lines_of, ok
from tests.e2e.process import PATIENCE_SECONDS, clean_environment

FIELDS = (
    b"TraceParent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    b"tracestate: a=1",
    b"traceparent: and a malformed one",
    b"TRACESTATE: b=2",
)


async def test_off_the_fields_pass_untouched(closed: None) -> None:
    """
    In their order, number and spelling, well-formed or not.
    """
    rig = Rig()
    await rig.start(Setup())
    try:
        head = await rig.told(get(b"/", *FIELDS), ok(b""))
        assert [line for line in lines_of(head) if line.lower().startswith(b"trace")] == [*FIELDS]
    finally:
        await rig.stop()


ENABLED = {
    "BEARER_PROXY_TRACING_ENABLED": "true",
    "BEARER_PROXY_TOKEN_CLIENT_ID": "someone",
    "BEARER_PROXY_TOKEN_CLIENT_SECRET": "something",
}
# What an installation without the extra is like.
_WITHOUT = "import sys; sys.modules['opentelemetry'] = None; from proxy.__main__ import main; "


def without_the_extra(*arguments: str, environment: dict[str, str]) -> tuple[int, str]:
    """Run the command where OpenTelemetry is not installed; return exit code and errors."""
    code = f"{_WITHOUT}sys.argv[1:] = {list(arguments)!r}; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environment(environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return done.returncode, done.stderr


def test_without_the_extra_it_is_an_error_of_configuration() -> None:
    """
    The sentence says what to install; off, nothing is missing.
    """
    code, said = without_the_extra("check", environment=ENABLED)
    assert code == 78
    assert "tracing.enabled" in said
    assert "pip install 'bearer-proxy[otel]'" in said
    off = {**ENABLED, "BEARER_PROXY_TRACING_ENABLED": "false"}
    assert without_the_extra("check", environment=off) == (0, "")


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"BEARER_PROXY_TRACING_ENDPOINT": "http://localhost:8080"}, "is the proxy itself"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:8080"}, "is the proxy itself"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "set tracing.endpoint"),
        ({"BEARER_PROXY_PROCESS_WORKERS": "2"}, "needs process.workers = 0"),
    ],
)
def test_check_tells_what_would_keep_it_from_starting(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], problem: str
) -> None:
    """
    Before anything runs.
    """
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert problem in start_problem(load({}, {**ENABLED, **variables}))


def test_off_nothing_of_opentelemetry_is_imported() -> None:
    """
    Its import takes longer than the whole start.
    """
    code = (
        "import asyncio, sys; from proxy.app import serving_from_environment\n"
        "async def main():\n"
        "    async with serving_from_environment(dict(eval(sys.argv[1]))) as running:\n"
        "        await running.ready()\n"
        "asyncio.run(main()); print([each for each in sys.modules if 'opentelemetry' in each])"
    )
    with ThreadedDemoAPI() as api:
        environment = {
            **api.environment(),
            "BEARER_PROXY_LISTEN_ADDRESS": "127.0.0.1:0",
            "BEARER_PROXY_ADMIN_ADDRESS": "off",
        }
        done = subprocess.run(
            [sys.executable, "-c", code, repr(environment)],
            env=clean_environment({}),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=True,
        )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_readmes_two_lines_switch_it_on(tmp_path: Path) -> None:
    """
    As they stand, in a file.
    """
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (lines,) = re.findall(r"```toml\n(tracing.*?)```", readme, re.DOTALL)
    assert len(lines.splitlines()) == 2
    path = tmp_path / "config.toml"
    path.write_text(lines)
    environment = {name: text for name, text in ENABLED.items() if "TRACING" not in name}
    settings = load({}, environment, path).settings
    assert settings.tracing.enabled
    assert settings.tracing.endpoint == "http://collector:4318"
