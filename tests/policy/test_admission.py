"""Who may ask: names compared whole, and pages of other origins kept out."""

import pytest

from proxy.errors import ProxyError
from proxy.policy import admission
from proxy.policy.admission import Admission
from tests.each import each

NOTHING = Admission()
OPENED = Admission(
    hosts=frozenset({b"proxy.corp.example"}), origins=frozenset({b"https://page.example"})
)


def host(value: bytes, *, rules: Admission = NOTHING, local: str = "127.0.0.1") -> str:
    """Return the code that a Host is refused with, empty if it is not."""
    try:
        admission.check_host(value, rules=rules, local=local)
    except ProxyError as error:
        return error.code
    return ""


def origin(
    *origins: bytes,
    sites: tuple[bytes, ...] = (),
    rules: Admission = NOTHING,
    host: bytes = b"localhost:8080",
) -> str:
    """Return the code that a page's request is refused with, empty if it is not."""
    try:
        admission.check_origin(list(origins), list(sites), host=host, rules=rules)
    except ProxyError as error:
        return error.code
    return ""


# Host.


@each("port", [b"", b":8080", b":1", b":65535"])
@each(
    "name",
    [b"localhost", b"LocalHost", b"a.localhost", b"a.b.localhost", b"127.0.0.1", b"127.1.2.3",
     b"[::1]",
     b"[0:0:0:0:0:0:0:1]", b"[::ffff:127.0.0.1]", b"proxy", b"bearer-proxy", b"my_api", b"api2",
     b"api.prod.svc", b"api.prod.svc.cluster.local", b"api.internal", b"host.docker.internal"],
)  # fmt: skip
def test_a_name_that_no_public_one_can_be_is_accepted(name: bytes, port: bytes) -> None:
    """
    Loopback, single labels and reserved suffixes, with any valid port or none.
    """
    assert host(name + port) == ""


@each(
    "name",
    [b"example.com", b"evil.example", b"10.0.0.1", b"0.0.0.0", b"128.0.0.1", b"[::2]", b"[::]",
     b"[fe80::1]", b"[::ffff:10.0.0.1]", b"169.254.169.254"],
)  # fmt: skip
def test_any_other_name_or_address_is_refused(name: bytes) -> None:
    """
    A rebound name shows in Host.
    """
    assert host(name) == host(name + b":8080") == "host_not_allowed"


@each(
    "name",
    [b"localhost.evil.com", b"evillocalhost.com", b"localhost.", b"127.0.0.1.evil.com",
     b"127.0.0.1.nip.io",
     b"svc.evil.com", b"internal.evil.com", b"a.svc.cluster.local.evil.com", b"evil-internal.com",
     b"a.evilinternal.com", b"a.localhost.evil.com"],
)  # fmt: skip
def test_localhost_evil_com_is_not_localhost(name: bytes) -> None:
    """
    Names are compared whole: nothing that merely begins with, ends like or contains ours is ours.
    """
    assert host(name) == "host_not_allowed"


@each("value", [b"[::1]", b"[::1]:8080", b"[::1]:65535", b"[0::1]:80"])
def test_an_ipv6_loopback_with_a_port_is_accepted(value: bytes) -> None:
    """
    The port stands behind the bracket; the colons within are none.
    """
    assert host(value, local="::1") == ""
    assert admission.split_authority(value) is not None


@each("value", [b"2130706433", b"127", b"0x7f000001", b"0x7f.1", b"017700000001", b"0"])
def test_a_number_is_no_single_label(value: bytes) -> None:
    """
    It is an address to inet_aton, and whose would depend on who reads it.
    """
    assert host(value) == "host_not_allowed"


@each(
    "value",
    [b"", b" localhost", b"localhost ", b"localhost:", b"localhost:x", b"localhost:65536",
     b"localhost:-1",
     b"localhost:80:80", b"[::1", b"::1", b"[localhost]", b"[127.0.0.1]", b"[::1]x", b"a@localhost",
     b"localhost/", b"localhost,evil", b"local\x00host", b"http://localhost", b"[::1%25eth0]",
     b"[1::2::3]",
     b"localhost:000080"],
)  # fmt: skip
def test_what_is_no_name_with_a_port_is_malformed(value: bytes) -> None:
    """
    Not refused as a stranger's, which could be allowed, but as no Host at all.
    """
    assert host(value) == "bad_request"


def test_the_address_that_the_connection_arrived_at_is_a_name_of_ours() -> None:
    """
    That very one, in any notation of it, and no neighbour.
    """
    assert host(b"192.0.2.7:80", local="192.0.2.7") == ""
    assert host(b"192.0.2.7", local="::ffff:192.0.2.7") == ""
    assert host(b"[2001:DB8:0::7]", local="2001:db8::7") == ""
    assert host(b"192.0.2.8", local="192.0.2.7") == "host_not_allowed"
    assert host(b"192.0.2.7", local="") == "host_not_allowed"


def test_a_host_filter_is_not_only_parsed_but_applied() -> None:
    """
    An allowed name opens itself: not its subdomains, nor what ends or begins like it.
    """
    assert host(b"Proxy.Corp.Example:80", rules=OPENED) == ""
    assert host(b"proxy.corp.example") == "host_not_allowed"
    for name in (b"a.proxy.corp.example", b"xproxy.corp.example", b"proxy.corp.example.evil"):
        assert host(name, rules=OPENED) == "host_not_allowed"


def test_the_refusal_of_a_host_names_the_key_and_the_value_that_would_allow_it() -> None:
    """
    Ready to be copied.
    """
    with pytest.raises(ProxyError) as caught:
        admission.check_host(b"Api.Example:80", rules=NOTHING, local="")
    assert '[listen] allowed_hosts = ["api.example"]' in caught.value.hint
    assert "BEARER_PROXY_LISTEN_ALLOWED_HOSTS=api.example" in caught.value.hint


# Origin and Sec-Fetch-Site.


def test_a_tool_sends_neither_field_and_passes() -> None:
    """
    curl, an application's own client.
    """
    assert origin() == ""


@each("site", [b"none", b"same-origin"])
def test_the_proxys_own_pages_pass(site: bytes) -> None:
    """
    Or an address typed in.
    """
    assert origin(sites=(site,)) == ""
    assert origin(b"http://localhost:8080", sites=(site,)) == ""
    assert origin(b"HTTP://LocalHost:8080") == ""


@each("site", [b"cross-site", b"same-site", b"", b"Same-Origin", b"same-origin, none", b"anything"])
def test_a_request_from_another_site_is_refused(site: bytes) -> None:
    """
    With or without an Origin (a link or an image has none), and so is one that can't be placed.
    """
    assert origin(sites=(site,)) == "origin_not_allowed"
    assert origin(b"http://localhost:8080", sites=(site,)) == "origin_not_allowed"
    assert origin(sites=(b"none", site)) == "origin_not_allowed"


@each(
    "value",
    [b"https://evil.example", b"null", b"", b"http://localhost", b"http://localhost:8081",
     b"https://localhost:8080", b"http://localhost:8080.evil.example", b"http://localhost:8080/",
     b"http://evil.example/http://localhost:8080", b"localhost:8080", b"file://"],
)  # fmt: skip
def test_a_foreign_origin_is_refused(value: bytes) -> None:
    """
    Scheme, host and port are all of it, and have to be those of the Host.
    """
    assert origin(value) == "origin_not_allowed"


def test_another_port_of_this_machine_is_another_program() -> None:
    """
    Its pages are of the same site, and their links, images and forms need no Origin; an allowed
    one that shows itself passes.
    """
    beside = Admission(origins=frozenset({b"http://localhost:3000"}))
    for rules in (NOTHING, beside):
        assert origin(sites=(b"same-site",), rules=rules) == "origin_not_allowed"
    assert origin(b"http://localhost:3000", sites=(b"same-site",), rules=beside) == ""
    assert origin(b"http://localhost:3001", sites=(b"same-site",), rules=beside) != ""


def test_two_origins_are_none() -> None:
    """
    Which of them asks can't be known, were both of them allowed.
    """
    page = b"https://page.example"
    assert origin(page, page, rules=OPENED) == "origin_not_allowed"


def test_an_origin_filter_is_not_only_parsed_but_applied() -> None:
    """
    An allowed origin passes, cross-site too; one that resembles it does not.
    """
    assert origin(b"https://page.example", sites=(b"cross-site",), rules=OPENED) == ""
    assert origin(b"https://PAGE.example", rules=OPENED) == ""
    assert origin(b"https://page.example") == "origin_not_allowed"
    for other in (
        b"http://page.example",
        b"https://page.example:8443",
        b"https://a.page.example",
        b"https://page.example.evil",
    ):
        assert origin(other, rules=OPENED) == "origin_not_allowed"


# An authority.


@each(
    ("value", "parts"),
    [(b"A.b", (b"a.b", None)), (b"a:0", (b"a", 0)), (b"[::1]:80", (b"[::1]", 80)), (b"a:65535",
     (b"a", 65535)),
     (b"a:65536", None), (b"a:", None), (b"", None), (b"a b", None)],
)  # fmt: skip
def test_an_authority_is_a_host_and_perhaps_a_port(
    value: bytes, parts: tuple[bytes, int | None] | None
) -> None:
    """
    The host in lower case.
    """
    assert admission.split_authority(value) == parts
