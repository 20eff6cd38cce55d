"""What other projects use: the fixture, and the API in a thread."""

import asyncio
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from proxy.demo import ThreadedDemoAPI

_CONFTEST = 'pytest_plugins = ["proxy.demo.pytest_plugin"]\n'
_TESTS = """
import json
import urllib.request

import pytest


def token(api):
    asked = {"client_id": api.client_id, "client_secret": api.client_secret}
    request = urllib.request.Request(
        api.issue_url(), json.dumps(asked).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as response:
        return json.load(response)["data"]


def test_counts(demo_api):
    assert token(demo_api)["expires_in"] == 60
    assert demo_api.stats().issued == 1


def test_every_test_has_its_own(demo_api):
    assert demo_api.stats().issued == 0


@pytest.mark.demo_api(token_seconds=2)
def test_options(demo_api):
    assert token(demo_api)["expires_in"] == 2


async def test_in_a_loop(demo_api):
    demo_api.fault("revoke")
"""


def test_the_fixture_works_in_a_project_of_its_own(tmp_path: Path) -> None:
    """
    One line in conftest.py is enough, with strict markers and warnings as errors.
    """
    (tmp_path / "conftest.py").write_text(_CONFTEST)
    (tmp_path / "test_mine.py").write_text(_TESTS)
    options = ("-q", "--strict-markers", "-W", "error", "-p", "no:cacheprovider")
    loops = ("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *loops],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "4 passed" in result.stdout, result.stdout + result.stderr


def test_installing_registers_nothing(tmp_path: Path) -> None:
    """
    Without that line there is no such fixture.
    """
    (tmp_path / "test_mine.py").write_text("def test_mine(demo_api):\n    pass\n")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "fixture 'demo_api' not found" in result.stdout


def test_the_api_in_a_thread_offers_what_the_other_does() -> None:
    """
    Faults, counts, tokens and addresses, without an event loop of one's own.
    """
    with ThreadedDemoAPI(token_seconds=5) as api:
        request = urllib.request.Request(f"{api.url}/echo")
        request.add_header("Authorization", f"Bearer {api.issue()}")
        with urllib.request.urlopen(request) as response:
            assert response.status == 200
        assert api.fault("revoke").startswith("revoke: 1 ")
        with pytest.raises(urllib.error.HTTPError, match="401") as refused:
            urllib.request.urlopen(request)
        refused.value.close()
        assert (api.stats().api_requests, api.stats().api_401s) == (2, 1)
        environ = api.environment("oauth2")
        assert environ["BEARER_PROXY_TOKEN_URL"] == api.issue_url("oauth2")
        assert environ["BEARER_PROXY_TOKEN_CLIENT_SECRET"] == api.client_secret
        assert api.client_secret not in repr(api)
        with pytest.raises(ValueError, match="no fault is called 'x'"):
            api.fault("x")


def test_the_thread_ends_with_the_context() -> None:
    """
    Afterwards there is no thread and no listener, also when the start failed.
    """
    before = threading.active_count()
    with ThreadedDemoAPI() as api:
        port = int(api.origin.rpartition(":")[2])
    assert threading.active_count() == before
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


async def test_it_may_be_used_inside_a_loop_too() -> None:
    """
    The thread's loop and the caller's do not meet.
    """
    with ThreadedDemoAPI() as api:
        assert (await asyncio.to_thread(api.stats)).issued == 0
