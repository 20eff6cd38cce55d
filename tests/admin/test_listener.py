"""What holds for everything on the two listeners, whatever is asked."""

import asyncio
import json
import logging
import time
from collections.abc import Iterator

import pytest
from aiohttp import web

from proxy.admin import server
from proxy.admin.address import join, split
from proxy.admin.vitals import Check
from tests.admin.fakes import Patient, ask, spoken
from tests.each import each


async def test_an_unknown_path_is_a_problem_document(listener: str) -> None:
    """
    404 in RFC 9457's form; aiohttp does not speak for us.
    """
    answer = await ask(listener, "/nothing")
    assert answer.status == 404
    assert answer.fields["content-type"] == "application/problem+json"
    assert json.loads(answer.body)["title"] == "Not Found"
    assert "aiohttp" not in str(answer.fields).lower()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_a_method_that_changes_things_is_not_for_health(listener: str, method: str) -> None:
    """
    405, and the answer names what is allowed.
    """
    answer = await ask(listener, "/readyz", "Content-Length: 0", method=method)
    assert answer.status == 405
    assert answer.fields["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "bytes_sent", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"GET\r\n\r\n"]
)
async def test_what_is_no_http_gets_400_in_our_own_voice(listener: str, bytes_sent: bytes) -> None:
    """
    A TLS greeting or a port scan learns neither library nor version.
    """
    received = await spoken(listener, bytes_sent)
    assert received.startswith(b"HTTP/1.")
    assert b" 400 " in received.partition(b"\r\n")[0]
    assert b"aiohttp" not in received.lower()
    assert b"python" not in received.lower()


async def test_what_is_expected_of_us_gets_no_other_voice(listener: str) -> None:
    """
    Not even where aiohttp answers before it asks anybody.
    """
    answer = await ask(listener, "/livez", "Expect: a miracle")
    assert answer.status == 417
    assert answer.fields["server"] == "bearer-proxy"
    assert answer.fields["x-content-type-options"] == "nosniff"


async def test_probes_are_not_logged(listener: str, caplog: pytest.LogCaptureFixture) -> None:
    """
    A probe every second would be most of the log.
    """
    caplog.set_level(logging.INFO)
    await ask(listener, "/livez")
    await ask(listener, "/nothing")
    assert caplog.records == []


async def test_a_fault_of_ours_is_500_without_its_text(
    application: web.Application, patient: Patient, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    The answer says where to look; what went wrong may quote anything, so it stays in the log.
    """

    class Broken(list[Check]):
        def __iter__(self) -> Iterator[Check]:
            raise RuntimeError("quotes 53cr3t")

    patient.living = Broken()
    running = await server.start(application, "127.0.0.1:0")
    answer = await ask(running.address, "/livez")
    await running.stop()
    assert answer.status == 500
    assert "its log says more" in json.loads(answer.body)["detail"]
    assert "53cr3t" not in answer.body


async def test_stop_gives_an_answer_under_way_its_second(application: web.Application) -> None:
    """
    A listener that ends does not wait for what never will.
    """

    reached = asyncio.Event()

    async def never(request: web.Request) -> web.StreamResponse:
        reached.set()
        await asyncio.Event().wait()
        raise AssertionError

    application.router.add_get("/never", never)
    running = await server.start(application, "127.0.0.1:0")
    asking = asyncio.ensure_future(spoken(running.address, b"GET /never HTTP/1.0\r\n\r\n"))
    await reached.wait()
    begun = time.monotonic()
    await running.stop()
    assert time.monotonic() - begun < 3
    assert await asking == b""


async def test_a_taken_port_is_the_callers_to_explain(
    application: web.Application, admin: str
) -> None:
    """
    OSError, and nothing stays open.
    """
    with pytest.raises(OSError, match="address already in use"):
        await server.start(application, admin)


@each(
    ("address", "parts"),
    [
        ("127.0.0.1:8081", ("127.0.0.1", 8081)),
        ("[::1]:0", ("::1", 0)),
        ("box:65535", ("box", 65535)),
    ],
)
def test_an_address_is_host_and_port(address: str, parts: tuple[str, int]) -> None:
    """
    An IPv6 literal has brackets in the address and none in the host; join undoes split.
    """
    assert split(address) == parts
    assert join(*parts) == address


@each(
    "address", ["", "8081", ":8081", "host:", "host:-1", "host:65536", "::1:80", "[host]:80", "h:٣"]
)
def test_anything_else_is_no_address(address: str) -> None:
    """
    ValueError, rather than a guess at what was meant.
    """
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        split(address)
