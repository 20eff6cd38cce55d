"""``bearer-proxy health``: what it asks, prints and returns, as a process of its own."""

import asyncio
import os
import resource
import socket
import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.admin.health import main
from proxy.admin.vitals import Check
from tests.admin.fakes import Patient

_RUN = "import sys; from proxy.admin.health import main; code = main(sys.argv[1:]); "
# What a bare interpreter has anyway, and what the command may add to it.
_EXPECTED = {"_socket", "proxy", "proxy.admin", "proxy.admin.address", "proxy.admin.health"}


async def child(script: str, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run *script* in an interpreter of its own; return code, output and errors."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("BEARER_PROXY")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", script, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**kept, **environment},
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def health(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run the command."""
    return await child(_RUN + "sys.exit(code)", *arguments, **environment)


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """Somebody who gives that answer to everything; yields the address."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"


async def test_a_well_proxy_is_ok_and_code_0(listener: str) -> None:
    """
    One word for a person, the code for Docker.
    """
    assert await health("--address", listener) == (0, "ok\n", "")


async def test_an_ill_proxy_is_code_1_and_says_what_fails(listener: str, patient: Patient) -> None:
    """
    The line that ``docker inspect`` shows names the failing checks and no others.
    """
    patient.token = Check("token", ok=False, text="the issuer answers 429; next try in 23 s")
    code, out, err = await health("--address", listener)
    assert (code, err) == (1, "")
    assert out == "token failed (the issuer answers 429; next try in 23 s)\n"


async def test_each_question_can_be_asked(listener: str, patient: Patient) -> None:
    """
    Readiness unless told otherwise; --live and --startup ask the other two.
    """
    patient.token = Check("token", ok=False)
    assert (await health(f"--address={listener}"))[0] == 1
    assert (await health("--ready", f"--address={listener}"))[0] == 1
    assert (await health("--live", f"--address={listener}"))[0] == 0
    assert (await health("--startup", f"--address={listener}"))[0] == 0
    patient.first_token = Check("first token", ok=False)
    assert (await health("--startup", f"--address={listener}"))[0] == 1


async def test_it_finds_the_listener_by_environment_and_file(listener: str, tmp_path: Path) -> None:
    """
    Admin before ops, the environment before the file, each key from its first source.
    """
    file = tmp_path / "config.toml"
    file.write_text(f'[admin]\naddress = "off"\n[ops]\naddress = "{listener}"\n')
    assert (await health(BEARER_PROXY_ADMIN_ADDRESS=listener))[0] == 0
    assert (await health(BEARER_PROXY_ADMIN_ADDRESS="off", BEARER_PROXY_OPS_ADDRESS=listener))[
        0
    ] == 0
    assert (await health("--config", str(file)))[0] == 0
    assert (await health(BEARER_PROXY_CONFIG=str(file)))[0] == 0
    assert (await health(BEARER_PROXY_CONFIG=str(file), BEARER_PROXY_ADMIN_ADDRESS="[::1]:1"))[0]


async def test_it_asks_by_loopback_what_listens_everywhere(listener: str) -> None:
    """
    0.0.0.0 is where the image's ops listener is bound, and no address to connect to.
    """
    port = listener.rpartition(":")[2]
    assert (await health("--address", f"0.0.0.0:{port}"))[0] == 0


async def test_both_off_is_said_rather_than_guessed() -> None:
    """
    There is nobody to ask, which is not health.
    """
    code, out, _ = await health(BEARER_PROXY_ADMIN_ADDRESS="off", BEARER_PROXY_OPS_ADDRESS="off")
    assert (code, out) == (1, "admin.address and ops.address are off: there is nothing to ask\n")


async def test_nobody_there_is_a_line_and_code_1() -> None:
    """
    The address is named; there is no traceback.
    """
    code, out, err = await health("--address", "127.0.0.1:1")
    assert (code, out, err) == (1, "127.0.0.1:1: Connection refused\n", "")


async def test_silence_ends_at_the_timeout() -> None:
    """
    The whole exchange is bounded, not each read.
    """
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        code, out, _ = await health("--address", address, "--timeout", "0.2")
    assert (code, out) == (1, f"{address}: timed out\n")


async def test_a_stranger_on_the_port_is_not_health() -> None:
    """
    Only an HTTP 200 is; what the stranger says cannot move the cursor.
    """
    async with answering(b"SSH-2.0-OpenSSH_9.2\r\n") as address:
        assert await health("--address", address) == (1, f"{address} does not answer in HTTP\n", "")
    async with answering(b"HTTP/1.1 404 Not Found\r\n\r\n") as address:
        assert (await health("--address", address))[1] == f"{address} answers 404 for /readyz\n"
    async with answering(b"HTTP/1.1 503 x\r\n\r\n[-]\x1b[2Jtoken failed\n") as address:
        assert (await health("--address", address))[1] == "?[2Jtoken failed\n"


@pytest.mark.parametrize(
    "argv",
    [["--adress", "x"], ["--address"], ["--address", "8081"], ["--timeout", "0"], ["extra"]],
)
def test_wrong_usage_is_code_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """
    What is wrong and how it would be right, on standard error.
    """
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("bearer-proxy health: ")
    assert "usage: bearer-proxy health" in captured.err


def test_help_is_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    """
    On standard output, as for every command.
    """
    assert main(["--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: bearer-proxy health")


async def test_it_imports_next_to_nothing(listener: str) -> None:
    """
    Neither a library nor a heavy part of Python's own: what `sys.modules` has gained is known.
    """
    shown = "sys.stdout.write(' '.join(sorted(set(sys.modules) - before)))"
    script = f"import sys; before = set(sys.modules); {_RUN}{shown}"
    _, out, _ = await child(script, "--address", listener)
    assert set(out.removeprefix("ok\n").split()) == _EXPECTED


async def test_it_costs_little_more_than_an_interpreter(listener: str) -> None:
    """
    Under 2.5 times the CPU of ``python -c pass``, by the median of 15 pairs of runs.
    """
    ratios = []
    for _ in range(15):
        bare = await _cpu_seconds("pass")
        asked = await _cpu_seconds(_RUN + "sys.exit(code)", "--address", listener)
        ratios.append(asked / bare)
    assert statistics.median(ratios) < 2.5


async def _cpu_seconds(script: str, *arguments: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code, _, _ = await child(script, *arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert code == 0
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
