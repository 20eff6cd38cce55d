"""Who may ask: the Host that a client names, and the page that a browser says it acts for."""

import json

import pytest

from proxy.admin.guard import known_here, known_nearby
from tests.admin.fakes import ask, spoken
from tests.each import each

HERE = ["localhost", "app.localhost", "127.0.0.1", "127.5.6.7", "[::1]", "[::ffff:127.0.0.1]"]
ELSEWHERE = ["example.com", "attacker.test", "10.0.0.9", "[2001:db8::1]", "localhost.attacker.test"]
# What some resolvers take for an address is no name of a service.
ADDRESSES_IN_DISGUISE = ["2130706433", "0x7f000001", "0x7f.1", "127.1"]


@each("host", HERE)
def test_loopback_names_are_known_on_both(host: str) -> None:
    """
    localhost and every loopback address, however it is written.
    """
    assert known_here(host, "127.0.0.1")
    assert known_nearby(host, "10.1.2.3")


@each("host", [*ELSEWHERE, *ADDRESSES_IN_DISGUISE])
def test_a_name_that_dns_could_point_here_is_not_known(host: str) -> None:
    """
    A rebinding attacker owns a name, never ours.
    """
    assert not known_here(host, "127.0.0.1")
    assert not known_nearby(host, "127.0.0.1")


def test_the_address_connected_to_is_known() -> None:
    """
    A kubelet asks by the pod's address, which nobody configured.
    """
    assert known_nearby("10.1.2.3", "10.1.2.3")
    assert known_nearby("[2001:db8::1]", "2001:db8::1")
    assert not known_nearby("10.1.2.4", "10.1.2.3")


def test_a_service_name_is_known_to_the_ops_listener_only() -> None:
    """
    Compose gives a service a name without a dot; public DNS has no such names.
    """
    assert known_nearby("bearer-proxy", "172.17.0.2")
    assert not known_here("bearer-proxy", "127.0.0.1")


async def test_a_foreign_host_is_refused_before_anything_else(listener: str) -> None:
    """
    403 with a code, on every path, known or not.
    """
    for path in ("/livez", "/nothing"):
        answer = await ask(listener, path, host="attacker.test")
        assert answer.status == 403
        assert answer.fields["content-type"] == "application/problem+json"
        assert json.loads(answer.body)["code"] == "host_not_allowed"


@pytest.mark.parametrize(
    ("first", "fields"),
    [
        ("GET /livez HTTP/1.1", ["Host: localhost", "Host: attacker.test"]),
        ("GET /livez HTTP/1.1", ["Host: "]),
        ("GET /livez HTTP/1.1", ["Host: local host"]),
        ("GET http://localhost/livez HTTP/1.1", ["Host: localhost"]),
        ("GET /livez HTTP/1.1", []),
    ],
)
async def test_a_doubtful_host_is_refused(listener: str, first: str, fields: list[str]) -> None:
    """
    None, two, an empty or a broken one, and a target that names a server itself: 400.
    """
    head = "".join(f"{line}\r\n" for line in (first, *fields, "Connection: close"))
    received = await spoken(listener, f"{head}\r\n".encode())
    assert received.split(b" ")[1] == b"400"


async def test_a_bare_http_1_0_probe_is_answered(listener: str) -> None:
    """
    HTTP/1.0 has no Host; load balancers speak it and browsers don't.
    """
    received = await spoken(listener, b"GET /livez HTTP/1.0\r\n\r\n")
    assert received.startswith(b"HTTP/1.0 200 ")


@pytest.mark.parametrize("site", ["cross-site", "same-site", "Same-Origin", "nonsense"])
async def test_a_page_of_another_site_is_refused(listener: str, site: str) -> None:
    """
    Another port of this machine (same-site) is another program.
    """
    answer = await ask(listener, "/livez", f"Sec-Fetch-Site: {site}")
    assert answer.status == 403
    assert json.loads(answer.body)["code"] == "origin_not_allowed"


@pytest.mark.parametrize("site", ["none", "same-origin"])
async def test_a_person_and_our_own_page_are_admitted(listener: str, site: str) -> None:
    """
    An address typed in (none), and what our own page fetches (same-origin).
    """
    assert (await ask(listener, "/livez", f"Sec-Fetch-Site: {site}")).status == 200


@pytest.mark.parametrize(
    "origin", ["null", "http://attacker.test", "http://localhost:1", "https://{listener}", ""]
)
async def test_a_foreign_origin_is_refused(listener: str, origin: str) -> None:
    """
    Scheme, host and port must be this listener's: an opaque origin is nobody's.
    """
    answer = await ask(listener, "/livez", f"Origin: {origin.format(listener=listener)}")
    assert answer.status == 403


async def test_our_own_origin_is_admitted(listener: str) -> None:
    """
    What the status page posts from.
    """
    assert (await ask(listener, "/livez", f"Origin: http://{listener}")).status == 200


async def test_one_good_field_does_not_excuse_a_bad_one(listener: str) -> None:
    """
    Every copy of a repeated field counts.
    """
    fields = ("Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site")
    assert (await ask(listener, "/livez", *fields)).status == 403
