"""What a request line may ask for, and where a redirect may lead."""

import pytest

from proxy.errors import ProxyError
from proxy.policy import access, target
from proxy.policy.target import Base
from tests.each import each

ROOT = Base(b"https", b"api.example")
V1 = Base(b"https", b"api.example", b"/v1", frozenset({b"/oauth/token", b"/v1/token"}))


def sent(wanted: bytes, base: Base = V1, method: bytes = b"GET") -> bytes:
    return target.to_send(wanted, method=method, base=base)


def refused(wanted: bytes, base: Base = V1, method: bytes = b"GET") -> str:
    """Return the code that *wanted* is refused with."""
    with pytest.raises(ProxyError) as caught:
        sent(wanted, base, method)
    return caught.value.code


def local(location: bytes, base: Base = V1, host: bytes = b"localhost:8080") -> bytes:
    return target.to_local(location, base=base, host=host)


# The origin form.


@each(
    "wanted",
    [b"/", b"/a", b"/a//b/", b"/a?b=c&d", b"/a?//../x", b"/%41%e9?%zz", b"/a..b", b"/a?/.."],
)
def test_path_and_query_stand_behind_the_base_byte_for_byte(wanted: bytes) -> None:
    """
    Nothing is decoded, merged or sorted; dots in a query are no path.
    """
    assert sent(wanted) == b"/v1" + wanted
    assert sent(wanted, ROOT) == wanted


@each(
    "wanted",
    [b"/../admin", b"/..", b"/%2e%2e/admin", b"/a/%252e%252e/", b"/..%2fadmin", b"/..;/admin",
     b"//evil", b"/\\evil", b"/%5c..", b"/a%00", b"/a#b", b"/a?b#c", b"/%"],
)  # fmt: skip
def test_no_request_leaves_the_base_path(wanted: bytes) -> None:
    """
    In no reading of it, and wherever the base is.
    """
    assert refused(wanted) == refused(wanted, ROOT) == "bad_request"


@each("wanted", [b"", b"a", b"?a", b"api.example:443", b"ftp://api.example/", b"http:/a"])
def test_anything_but_a_path_or_a_url_of_the_upstream_is_refused(wanted: bytes) -> None:
    """
    The authority form is for CONNECT, which is for tunnels.
    """
    assert refused(wanted) == "bad_request"


# The issuer's own path.


@each(
    "wanted",
    [b"/token", b"/TOKEN", b"/token/", b"/token?a=b", b"/tok%65n", b"/token.json", b"/token;x",
     b"/token.", b"/tok%2565n", b"/%74oken%20"],
)  # fmt: skip
def test_the_issuer_is_not_reached_in_any_spelling(wanted: bytes) -> None:
    """
    Tokens are fetched by the proxy alone.
    """
    assert refused(wanted) == "token_endpoint_blocked"
    assert refused(b"https://api.example/v1" + wanted) == "token_endpoint_blocked"


@each("wanted", [b"/tokens", b"/token/1", b"/a/token", b"/tokenx", b"/token-1"])
def test_a_path_that_only_resembles_the_issuers_is_not_its(wanted: bytes) -> None:
    """
    It is compared whole.
    """
    assert sent(wanted) == b"/v1" + wanted


# The absolute form.


@each(
    "authority",
    [b"https://api.example", b"http://api.example", b"https://api.example:443", b"http://api.example:80",
     b"HTTPS://API.example"],
)  # fmt: skip
def test_a_url_under_the_base_is_taken_as_what_it_names(authority: bytes) -> None:
    """
    Under https or, as ``http_proxy=`` makes tools say, http; each on its usual port.
    """
    assert sent(authority + b"/v1/a?b") == b"/v1/a?b"
    assert sent(authority + b"/v1") == b"/v1"
    assert sent(authority, ROOT) == b"/"


@each(
    "url",
    [b"http://evil.example/v1/", b"http://api.example.evil/v1/", b"http://localhost/v1/",
     b"http://api.example:8443/v1/", b"https://api.example:80/v1/", b"http://xapi.example/v1/",
     b"http://[::1]/v1/"],
)  # fmt: skip
def test_a_url_of_another_server_is_refused(url: bytes) -> None:
    """
    This is no open proxy; another port is another server.
    """
    assert refused(url) == "host_not_allowed"


def test_an_empty_port_is_the_usual_one() -> None:
    """
    RFC 3986 section 6.2.3.
    """
    assert sent(b"http://api.example:/v1/a") == b"/v1/a"


@each("base", [ROOT, V1])
@each(
    ("url", "code"),
    [
        (b"http://a@api.example/v1/", "host_not_allowed"),
        (b"http://api.example:80@evil.example/v1/", "bad_request"),
        (b"http://api.example@evil.example/v1/", "bad_request"),
    ],
)
def test_a_url_with_user_information_is_refused(base: Base, url: bytes, code: str) -> None:
    """
    RFC 9110 section 4.2.4: it is how one server is made to look like another.
    """
    assert refused(url, base) == code


@each("rest", [b"/", b"", b"/v2/a", b"/v1x", b"/v1/../v2", b"/v1/%2e%2e/v2", b"//v1/a", b"/V1/a"])
def test_a_url_outside_of_the_base_path_is_refused(rest: bytes) -> None:
    """
    The base path is a boundary, and it ends at a segment.
    """
    assert refused(b"https://api.example" + rest) == "bad_request"


# The asterisk.


def test_the_asterisk_asks_for_the_options_of_what_is_reachable_through_us() -> None:
    """
    RFC 9112 section 3.2.4; behind a base path, that is the base path itself.
    """
    assert sent(b"*", ROOT, b"OPTIONS") == b"*"
    assert sent(b"https://api.example", ROOT, b"OPTIONS") == b"*"
    assert sent(b"*", V1, b"OPTIONS") == b"/v1"


def test_the_asterisk_is_for_options_alone() -> None:
    """
    To another method it names nothing.
    """
    assert refused(b"*") == "bad_request"
    assert refused(b"*", method=b"options") == "bad_request"


# The paths that this caller may ask for.


def test_the_rules_of_access_hold_in_every_form_of_target() -> None:
    """
    Relative to the base path, which the patterns don't repeat.
    """
    rules = access.rules(allow_paths=["/a/**"])
    for wanted in (b"/a/b", b"https://api.example/v1/a/b"):
        assert target.to_send(wanted, method=b"GET", base=V1, access=rules) == b"/v1/a/b"
    for method, wanted in (
        (b"GET", b"/b"),
        (b"GET", b"https://api.example/v1/b"),
        (b"OPTIONS", b"*"),
    ):
        with pytest.raises(ProxyError) as caught:
            target.to_send(wanted, method=method, base=V1, access=rules)
        assert caught.value.code == "path_not_allowed"


# What a redirect is to the client.


@each(
    ("location", "seen"),
    [
        (b"https://api.example/v1/a?b#c", b"http://localhost:8080/a?b#c"),
        (b"HTTPS://API.EXAMPLE/v1/a", b"http://localhost:8080/a"),
        (b"//api.example/v1/a", b"//localhost:8080/a"),
        (b"https://api.example/v1", b"http://localhost:8080/"),
        (b"https://api.example/v1?a", b"http://localhost:8080/?a"),
        (b"/v1/a", b"/a"),
        (b"/v1", b"/"),
    ],
)
def test_a_location_under_the_base_is_made_local(location: bytes, seen: bytes) -> None:
    """
    So that a client which follows it comes back through the proxy.
    """
    assert local(location) == seen


@each(
    "location",
    [b"https://api.example/v2/a", b"https://api.example/v1x", b"/v2/a", b"a", b"../a", b"", b"?a",
     b"https://evil.example/v1/a", b"https://api.example.evil/v1/a", b"https://api.example:8443/v1/a",
     b"//evil.example/v1", b"/v1/../a", b"https://api.example/v1/%2e%2e/a"],
)  # fmt: skip
def test_any_other_location_is_left_as_it_is(location: bytes) -> None:
    """
    What does not come back through the proxy is the client's to judge.
    """
    assert local(location) == location


def test_a_location_for_a_client_that_named_no_host_is_a_path() -> None:
    """
    HTTP/1.0 needs none.
    """
    assert local(b"https://api.example/v1/a", host=b"") == b"/a"


# Parts.


@each(
    ("wanted", "authority"),
    [(b"http://a.example:1/b", b"a.example:1"), (b"/http://a/", b""), (b"*", b"")],
)  # fmt: skip
def test_only_an_absolute_form_has_an_authority(wanted: bytes, authority: bytes) -> None:
    """
    Nothing else in a request line names a server.
    """
    assert target.authority_of(wanted) == authority


def test_a_base_is_a_url_for_people() -> None:
    """
    Without a slash at its end.
    """
    assert V1.url == "https://api.example/v1"
    assert ROOT.url == "https://api.example"
