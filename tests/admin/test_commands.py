"""``bearer-proxy status`` and ``bearer-proxy wait``."""

import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from proxy.admin import (
    quit_command,
    reload_command,
    server,
    status_command,
    token,
    wait_command,
)
from proxy.admin.address import split
from proxy.admin.vitals import Check
from tests.admin.fakes import TOKEN, Desk, Patient

REJECTED = Check(
    "token", ok=False, text="the issuer rejects the credentials", code="credentials_rejected"
)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever this machine has configured is not asked."""
    for name in ("ADMIN_ADDRESS", "OPS_ADDRESS", "ADMIN_TOKEN_FILE", "CONFIG"):
        monkeypatch.delenv(f"BEARER_PROXY_{name}", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


async def status(*argv: str) -> int:
    """Run the command beside the listener."""
    return await asyncio.to_thread(status_command.main, [*argv])


async def waited(address: str, *, mended_seconds: float) -> tuple[int, str]:
    """Wait for up to half a minute beside the listener."""
    return await asyncio.to_thread(
        wait_command.waited, split(address), 30, mended_seconds=mended_seconds
    )


async def wait(*argv: str) -> int:
    """Run the command beside the listener."""
    return await asyncio.to_thread(wait_command.main, [*argv])


async def test_status_is_the_page_as_a_table(
    admin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    The verdict first, as curl has it.
    """
    assert await status("--address", admin) == 0
    assert capsys.readouterr().out.startswith("Ready. Requests to http://127.0.0.1:8080")


async def test_status_can_be_json(admin: str, capsys: pytest.CaptureFixture[str]) -> None:
    """
    For a program: /api/status.
    """
    assert await status("--json", f"--address={admin}") == 0
    assert json.loads(capsys.readouterr().out)["client_id"] == "acme"


async def test_status_of_nobody_is_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    """
    A sentence on standard error.
    """
    assert await status("--address", "127.0.0.1:1") == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "bearer-proxy status: Connection refused\n")


async def test_status_of_the_ops_listener_is_none(
    ops: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    It has health and metrics alone, and that is said.
    """
    assert await status("--address", ops) == 1
    assert "is not a proxy's admin listener" in capsys.readouterr().err


def test_url_has_the_token_from_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    """
    The address to open, token behind the #, for whoever can read the file.
    """
    path = token.usual_path("127.0.0.1:9", os.environ)
    token.make_private(path.parent)
    token.save("t0k3n", path)
    assert status_command.main(["--url", "--address", "127.0.0.1:9"]) == 0
    assert capsys.readouterr().out == "http://127.0.0.1:9/#token=t0k3n\n"


@pytest.mark.parametrize("by", ["environment", "file"])
def test_url_knows_a_configured_token_file(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    admin.token_file, by variable or in the configuration file.
    """
    path = tmp_path / "admin.token"
    token.save("t0k3n", path)
    if by == "environment":
        monkeypatch.setenv("BEARER_PROXY_ADMIN_TOKEN_FILE", str(path))
    else:
        config = tmp_path / "config.toml"
        config.write_text(f'[admin]\ntoken_file = "{path}"\n')
        monkeypatch.setenv("BEARER_PROXY_CONFIG", str(config))
    assert status_command.main(["--url"]) == 0
    assert capsys.readouterr().out == "http://127.0.0.1:8081/#token=t0k3n\n"


def test_url_without_a_file_says_who_can_read_it(capsys: pytest.CaptureFixture[str]) -> None:
    """
    Which file was looked for, and why there may be none.
    """
    assert status_command.main(["--url", "--address", "127.0.0.1:9"]) == 1
    assert "127.0.0.1_9.token: no such file" in capsys.readouterr().err


async def test_wait_ends_as_soon_as_it_is_ready(
    admin: str, patient: Patient, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Not before the token is there, and no later than a moment after.
    """
    good, patient.token = patient.token, Check("token", ok=False, text="none issued yet")
    waiting = asyncio.ensure_future(wait("--address", admin, "--timeout", "10"))
    done, _ = await asyncio.wait((waiting,), timeout=0.5)
    assert not done
    patient.token = good
    begun = time.monotonic()
    assert await waiting == 0
    assert time.monotonic() - begun < 2
    assert capsys.readouterr().out == "ok\n"


async def test_wait_is_patient_with_a_proxy_that_is_not_there_yet(
    application: web.Application,
) -> None:
    """
    A refused connection is what a start looks like.
    """
    probe = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    address = "127.0.0.1:" + str(probe.sockets[0].getsockname()[1])
    probe.close()
    await probe.wait_closed()
    waiting = asyncio.ensure_future(wait("--address", address, "--timeout", "10"))
    await asyncio.wait((waiting,), timeout=0.3)
    running = await server.start(application, address)
    assert await waiting == 0
    await running.stop()


async def test_wait_ends_at_its_time_and_says_what_was_missing(
    admin: str, patient: Patient, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Code 1, and the failing check.
    """
    patient.token = Check("token", ok=False, text="the issuer answers 429")
    begun = time.monotonic()
    assert await wait("--address", admin, "--timeout", "0.5") == 1
    assert time.monotonic() - begun < 2
    assert capsys.readouterr().out == "token failed (the issuer answers 429)\n"


async def test_credentials_that_are_rejected_are_not_waited_for_to_the_end(
    admin: str, patient: Patient
) -> None:
    """
    Code 3, after the time in which another secret would have been noticed.
    """
    patient.token = REJECTED
    begun = time.monotonic()
    code, said = await waited(admin, mended_seconds=0.5)
    assert (code, said) == (3, "token failed (the issuer rejects the credentials)")
    assert 0.2 <= time.monotonic() - begun < 3


async def test_a_secret_that_is_mended_in_that_time_is_in_time(
    admin: str, patient: Patient
) -> None:
    """
    The proxy looks at the file again by itself.
    """
    good, patient.token = patient.token, REJECTED
    waiting = asyncio.ensure_future(waited(admin, mended_seconds=5))
    done, _ = await asyncio.wait((waiting,), timeout=0.5)
    assert not done
    patient.token = good
    assert await waiting == (0, "")


async def test_that_time_begins_with_the_latest_rejection(admin: str, patient: Patient) -> None:
    """
    Whoever has put another secret there meanwhile is not told of the former one.
    """
    begun = time.monotonic()
    waiting = asyncio.ensure_future(waited(admin, mended_seconds=1))
    while time.monotonic() < begun + 2:
        for found in (REJECTED, Check("token", ok=False, text="none issued yet")):
            patient.token = found
            done, _ = await asyncio.wait((waiting,), timeout=0.45)
            assert not done
    patient.token = REJECTED
    assert (await waiting)[0] == 3


async def test_wait_says_that_credentials_are_rejected_in_a_short_time_too(
    admin: str, patient: Patient, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Code 3 whenever that is what kept it from being ready at the end.
    """
    patient.token = REJECTED
    assert await wait("--address", admin, "--timeout", "0.3") == 3
    assert capsys.readouterr().out == "token failed (the issuer rejects the credentials)\n"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no JSON",
        "[]",
        "{}",
        '{"checks": 1}',
        '{"checks": [1]}',
        '{"checks": []}',
        '{"checks": [{"ok": false}]}',
        pytest.param("[" * 60_000, id="deep"),
    ],
)
async def test_a_stranger_is_not_taken_for_a_proxy(body: str) -> None:
    """
    Whatever it answers with: only 200 is yes, and the answer that was none is named.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.0 503 No\r\n\r\n{body}".encode())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as stranger:
        host, port = stranger.sockets[0].getsockname()
        code, said = await asyncio.to_thread(wait_command.waited, (host, port), 0.1)
    assert (code, said) == (1, f"{host}:{port} answers 503 for /readyz")


@pytest.mark.parametrize("main", [status_command.main, wait_command.main])
def test_usage(main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]) -> None:
    """
    --help is code 0, a wrong flag code 2.
    """
    assert main(["--help"]) == 0
    assert main(["--nonsense"]) == 2
    assert "usage: bearer-proxy" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["reload", "quit"])
async def test_an_action_that_is_refused_is_code_1(
    action: str, admin: str, desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    The reason on standard error; done, it is a line on standard output.
    """
    given = ["--address", admin]
    main = {"reload": reload_command.main, "quit": quit_command.main}[action]
    path = token.usual_path(admin, os.environ)
    token.make_private(path.parent)
    token.save(TOKEN, path)
    assert await asyncio.to_thread(main, given) == 0
    assert capsys.readouterr().out.endswith(f"\n{action} done\n")
    desk.refusal = "Nothing has changed: limits.queue is below 0."
    assert await asyncio.to_thread(main, given) == 1
    assert capsys.readouterr().err == f"bearer-proxy {action}: {desk.refusal}\n"
    token.save("another", path)
    assert await asyncio.to_thread(main, given) == 1
    assert "This needs the admin token." in capsys.readouterr().err
    assert desk.done == [action]


async def test_the_ops_listener_is_asked_in_vain(
    ops: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    It has no actions, and that is said.
    """
    path = token.usual_path(ops, os.environ)
    token.make_private(path.parent)
    token.save(TOKEN, path)
    assert await asyncio.to_thread(quit_command.main, ["--address", ops]) == 1
    assert capsys.readouterr().err.startswith("bearer-proxy quit: ")
