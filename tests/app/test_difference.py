"""What another configuration comes to: what changes now, what waits, what can't be."""

import hashlib
import re
import ssl
from pathlib import Path

import pytest
import trustme

from proxy.app import compose
from proxy.app.compose import StartError
from proxy.app.reload import AT_START, difference
from proxy.settings.load import Loaded, load
from proxy.settings.names import KEYS

TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    "BEARER_PROXY_TOKEN_CLIENT_ID": "acme",
    "BEARER_PROXY_TOKEN_CLIENT_SECRET": "a-secret-of-some-length",
}


def loaded(path: Path, text: str = "") -> Loaded:
    """Return the configuration that *text* is, by way of a file at *path*."""
    path.write_text(text)
    return load({}, ENVIRONMENT, path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A place for a configuration."""
    return tmp_path / "config.toml"


def test_the_same_configuration_changes_nothing(file: Path) -> None:
    """
    Neither now nor later, and what is in force is what was read.
    """
    now, new = loaded(file), loaded(file)
    found = difference(now, new)
    assert (found.changed, found.waiting) == ((), ())
    assert found.sentence == "Nothing changes now."
    assert found.loaded.settings == new.settings
    assert found.loaded.warnings == new.warnings


def test_a_live_key_is_named_and_taken(file: Path) -> None:
    """
    Two of different tables, in the order of the documentation.
    """
    found = difference(loaded(file), loaded(file, 'log.access = "off"\nallow.methods = ["GET"]\n'))
    assert found.changed == ("allow.methods", "log.access")
    assert found.sentence == "Changed: allow.methods, log.access."
    assert found.loaded.settings.allow.methods == ("GET",)
    assert found.loaded.provenance["log.access"].place == f"{file}:1"


def test_a_key_taken_at_start_stays_as_it_is_and_is_named(file: Path) -> None:
    """
    Value and source are the former ones; the page warns for as long as the file says otherwise.
    """
    now = loaded(file)
    new = loaded(file, 'listen.address = "127.0.0.1:9000"\nlimits.queue = 3\n')
    found = difference(now, new)
    assert (found.changed, found.waiting) == (("limits.queue",), ("listen.address",))
    assert found.sentence == "Changed: limits.queue. At the next start: listen.address."
    assert found.loaded.settings.listen.address == now.settings.listen.address
    assert found.loaded.provenance["listen.address"].kind == "default"
    assert found.loaded.warnings == ("listen.address changes at the next start",)
    again = difference(found.loaded, new)
    assert (again.changed, again.waiting) == ((), ("listen.address",))
    assert again.loaded.warnings == found.loaded.warnings
    back = difference(again.loaded, loaded(file, "limits.queue = 3\n"))
    assert back.loaded.warnings == ()


def test_the_example_and_the_readme_mark_what_is_taken_at_start() -> None:
    """
    The very keys, in the comment above each of them and in the README's table.
    """
    marked, table = [], ""
    for paragraph in (ROOT / "config.example.toml").read_text().split("\n\n"):
        for line in paragraph.splitlines():
            if found := re.match(r"\[(\w+)\]|#(\w+) =", line):
                table = found[1] or table
                if found[2] and " At start." in paragraph:
                    marked.append(f"{table}.{found[2]}")
    assert sorted(marked) == sorted(AT_START)
    text = (ROOT / "README.md").read_text()
    told = re.search(r"<!-- at start -->(.*?)<!-- /at start -->", text)
    assert told
    assert re.findall(r"`([\w.]+)`", told[1]) == [key for key in KEYS if key in AT_START]


# What a reload makes anew is another thing for another value of each of these.
MADE_ANEW = {
    "listen.allowed_hosts": '["a.test"]',
    "listen.allowed_origins": '["http://a.test"]',
    "listen.allowed_uids": "[7]",
    "listen.local_token_file": '"{tokens}"',
    "listen.local_token_header": '"X-Token"',
    "listen.required_header": '"X-Local"',
    "allow.methods": '["GET"]',
    "allow.paths": '["/a"]',
    "deny.paths": '["/a"]',
    "upstream.url": '"https://a.test"',
    "upstream.ca_file": '"{ca}"',
    "upstream.send_via": "false",
    "upstream.mask_token_in_responses": "true",
    "upstream.connect_timeout_seconds": "1",
    "upstream.connections": "1",
    "upstream.replay_max_bytes": "1",
    "token.profile": '"oauth2"',
    "token.url": '"https://a.test"',
    "token.client_id": '"other"',
    "token.client_secret": '"another-secret"',
    "token.client_secret_file": '"{tokens}"',
    "token.request_format": '"form"',
    "token.client_auth": '"basic"',
    "token.scope": '"read"',
    "token.extra": '{a = "b"}',
    "token.headers": '{a = "b"}',
    "token.access_token_pointer": '"/a"',
    "token.expires_in_pointer": '"/a"',
    "token.error_code_pointer": '"/a"',
    "token.error_codes": '{A = "rejected"}',
    "token.wait_seconds": "1",
    "token.timeout_seconds": "1",
    "token.default_lifetime_seconds": "1",
    "token.retry_max_seconds": "1",
    "token.flap_seconds": "1",
    "token.inbound": '"refuse"',
    "limits.connections": "1",
    "limits.requests_per_connection": "1",
    "limits.queue": "1",
    "limits.queue_seconds": "1",
    "limits.head_bytes": "2048",
    "limits.head_fields": "1",
    "limits.target_bytes": "256",
    "limits.body_bytes": "1",
    "limits.head_seconds": "1",
    "limits.body_idle_seconds": "1",
    "limits.keep_alive_seconds": "1",
    "limits.response_head_seconds": "1",
    "limits.response_idle_seconds": "1",
}
# These are looked at when they are needed, or handed on by a reload; tests below change each.
LOOKED_AT = frozenset(
    (
        "token.cache_file",
        "token.strict_permissions",
        "drain.timeout_seconds",
        "admin.recent_requests",
        "log.level",
        "log.access",
    )
)


def test_of_every_key_it_is_known_when_it_changes() -> None:
    """
    A key that is new is put in one of these places by whoever knows what it takes to change it.
    """
    assert sorted([*AT_START, *LOOKED_AT, *MADE_ANEW]) == sorted(KEYS)


@pytest.mark.parametrize("key", MADE_ANEW)
def test_a_live_key_makes_a_difference(file: Path, tmp_path: Path, key: str) -> None:
    """
    Something of what the data plane, the pool or the tokens are given is another.
    """
    tokens, authority = tmp_path / "tokens", tmp_path / "ca.pem"
    tokens.write_text("a-token-of-some-length\n")
    base = {
        "listen.address": f'"unix:{tmp_path}/socket"',
        "token.client_id": '"acme"',
        "token.client_secret": '"a-secret-of-some-length"',
    }
    if key == "listen.local_token_header":
        base["listen.local_token_file"] = f'"{tokens}"'
    if key == "upstream.ca_file":
        trustme.CA().cert_pem.write_to_path(str(authority))
    another = MADE_ANEW[key].replace("{tokens}", str(tokens)).replace("{ca}", str(authority))
    changed = {**base, key: another}
    if key == "token.profile":
        changed |= {"upstream.url": '"https://a.test"', "token.url": '"https://a.test/token"'}
    if key == "token.client_secret_file":
        del changed["token.client_secret"]
    before, after = (_made(file, keys) for keys in (base, changed))
    assert before != after
    assert before == _made(file, base)


def _made(file: Path, keys: dict[str, str]) -> list[object]:
    """Return what is made of a configuration."""
    file.write_text("".join(f"{key} = {value}\n" for key, value in keys.items()))
    found = load({}, {}, file)
    settings = found.settings
    secret = hashlib.sha256(found.secret.read().encode()).digest()
    return [
        compose.rules(settings),
        compose.destination(settings, TLS),
        compose.limits(settings),
        compose.issuer(settings),
        compose.trust_mark(settings),
        settings.token.wait_seconds,
        secret,
    ]


@pytest.mark.parametrize("moved", [True, False])
def test_who_may_use_a_socket_goes_with_the_socket(file: Path, tmp_path: Path, moved: bool) -> None:
    """
    A Unix socket that users are kept from is not opened to them because the next one needs no list;
    for the same socket the list is live.
    """
    here, there = (f'"unix:{tmp_path}/{name}"' for name in ("here", "there"))
    now = loaded(file, f"listen.address = {here}\nlisten.allowed_uids = [1]\n")
    found = difference(now, loaded(file, f"listen.address = {there if moved else here}\n"))
    assert found.loaded.settings.listen.allowed_uids == ((1,) if moved else ())
    if moved:
        assert found.waiting == ("listen.address", "listen.allowed_uids")
    else:
        assert found.changed == ("listen.allowed_uids",)


def test_a_file_that_lost_everything_is_no_configuration(file: Path) -> None:
    """
    Whatever the environment would make of it: somebody is about to write it, and until then nothing
    that it forbade is allowed. One that never said anything may go on so.
    """
    now = loaded(file, 'deny.paths = ["/private"]\n')
    for left in ("", "# soon\n", "[deny]\n"):
        with pytest.raises(StartError, match=r"config\.toml is empty; if that is meant, start"):
            difference(now, loaded(file, left))
    assert difference(now, loaded(file, "deny.paths = []\n")).changed == ("deny.paths",)
    assert difference(loaded(file), loaded(file)).changed == ()


def test_no_value_is_told(file: Path) -> None:
    """
    Of what is hidden, not even that it is another secret, but only the key.
    """
    now = loaded(file, 'token.extra = {key = "precious-1"}\n')
    new = loaded(file, 'token.extra = {key = "precious-2"}\n')
    found = difference(now, new)
    assert found.changed == ("token.extra",)
    assert "precious" not in repr(found)
    assert "precious" not in found.sentence
