"""``check --online``: a line for each step, and the exit code that its cause has."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from proxy.app import online
from proxy.demo.threaded import ThreadedDemoAPI
from proxy.settings import load

STEPS = (
    "configuration",
    "client secret",
    "issuer DNS",
    "issuer TLS",
    "issuer",
    "upstream DNS",
    "upstream TLS",
)
MARKS = {"ok": ".", "FAILED": "X", "skipped": "-"}
OK = "." * len(STEPS)
AWAY = "http://127.0.0.1:1/v1"
NAMELESS = "https://api.invalid/v1"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """An authority that no system trusts."""
    return trustme.CA()


@pytest.fixture
def api(authority: trustme.CA) -> Iterator[ThreadedDemoAPI]:
    """The embedded API over https."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    with ThreadedDemoAPI(tls=context) as api:
        yield api


@pytest.fixture
def environment(api: ThreadedDemoAPI, authority: trustme.CA, tmp_path: Path) -> dict[str, str]:
    """What points a proxy at it, and has it trusted; the secret is in a file."""
    trusted, secret = tmp_path / "ca.pem", tmp_path / "secret"
    authority.cert_pem.write_to_path(str(trusted))
    secret.write_text(api.client_secret)
    secret.chmod(0o600)
    variables = api.environment()
    del variables["BEARER_PROXY_TOKEN_CLIENT_SECRET"]
    return {
        **variables,
        "BEARER_PROXY_UPSTREAM_CA_FILE": str(trusted),
        "BEARER_PROXY_TOKEN_CLIENT_SECRET_FILE": str(secret),
    }


def check(environment: dict[str, str], *, gone: str = "") -> tuple[int, str, dict[str, str]]:
    """Return exit code, outcome of each step, and what was said; without the file *gone*."""
    loaded = load({}, environment)
    if gone:
        Path(environment[gone]).unlink()
    lines: list[str] = []
    code = online.check_online(loaded, lines.append)
    outcomes, said = "", {}
    for line in lines:
        assert line.isascii()
        assert line.endswith("\n")
        outcomes += MARKS[line[2:10].strip()]
        said[line[10:24].strip()] = line[24:].strip()
    return code, outcomes, said


def test_all_is_well(environment: dict[str, str], api: ThreadedDemoAPI) -> None:
    """
    Where the secret is and how long, addresses, TLS with the certificate's days, the issuer's
    latency with lifetime and skew; the upstream gets no request.
    """
    code, outcomes, said = check(environment)
    assert (code, outcomes) == (0, OK)
    assert tuple(said) == STEPS
    secret = environment["BEARER_PROXY_TOKEN_CLIENT_SECRET_FILE"]
    assert said["client secret"] == f"file {secret}, {len(api.client_secret)} bytes"
    assert said["issuer DNS"].startswith("127.0.0.1 is 127.0.0.1, in ")
    for each in ("issuer TLS", "upstream TLS"):
        assert "by TLSv1.3, certificate valid for " in said[each]
        assert " more days, connected in " in said[each]
    assert "valid for 60 s (by expires_in), its clock" in said["issuer"]
    assert api.stats().api_requests == 0


@pytest.mark.parametrize(
    ("changes", "fault", "code", "outcomes", "step", "sentence"),
    [
        ({}, "reject", 3, "....X..", "issuer", "Check token.client_id and the client secret"),
        ({}, "rate-limit", 1, "....X..", "issuer", "it asks to wait"),
        ({"TOKEN_URL": AWAY}, "", 4, "...X-..", "issuer TLS", "does token.url name the right"),
        ({"UPSTREAM_URL": AWAY}, "", 4, "......X", "upstream TLS", "does upstream.url name"),
        ({"TOKEN_URL": NAMELESS}, "", 4, "..X--..", "issuer DNS", "Check token.url"),
        ({"UPSTREAM_URL": NAMELESS}, "", 4, ".....X-", "upstream DNS", "Check upstream.url"),
        ({"UPSTREAM_CA_FILE": ""}, "", 4, "...X-.X", "issuer TLS", "upstream.ca_file"),
        ({"UPSTREAM_URL": AWAY}, "reject", 3, "....X.X", "issuer", "INVALID_CREDENTIALS"),
    ],
)
def test_what_is_wrong_is_said_where_it_is(
    environment: dict[str, str],
    api: ThreadedDemoAPI,
    changes: dict[str, str],
    fault: str,
    code: int,
    outcomes: str,
    step: str,
    sentence: str,
) -> None:
    """
    With the cause and the key to look at; what needs it is not tried, and all else is. Rejected
    credentials outrank what is away.
    """
    environment["BEARER_PROXY_TOKEN_URL"] = api.issue_url()
    environment |= {f"BEARER_PROXY_{name}": value for name, value in changes.items()}
    if not environment["BEARER_PROXY_UPSTREAM_CA_FILE"]:
        del environment["BEARER_PROXY_UPSTREAM_CA_FILE"]
    if fault:
        api.fault(fault)
    found, seen, said = check(environment)
    assert (found, seen) == (code, outcomes)
    assert sentence in said[step]
    assert api.client_secret not in str(said)


def test_a_secret_that_is_gone_is_not_the_issuers_word(environment: dict[str, str]) -> None:
    """
    Code 1; the issuer is not asked for a token, and its address is tried all the same.
    """
    code, outcomes, said = check(environment, gone="BEARER_PROXY_TOKEN_CLIENT_SECRET_FILE")
    assert (code, outcomes) == (1, ".X..-..")
    assert said["client secret"].endswith("secret: no such file or directory")
