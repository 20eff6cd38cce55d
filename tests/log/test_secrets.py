"""The last defence against a secret in the log."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, quote_plus

import pytest

from proxy.log.secrets import Secrets

SECRET = 'p4ss "word"/\\+ü'


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        json.dumps(SECRET),
        repr(SECRET),
        quote(SECRET, safe=""),
        quote(SECRET),
        quote_plus(SECRET),
    ],
    ids=["itself", "json", "repr", "percent-encoded", "in a path", "in a form"],
)
def test_a_protected_value_is_hidden_in_every_spelling(written: str) -> None:
    """
    However an issuer, a library or a URL spells the secret, it is not shown.
    """
    secrets = Secrets()
    secrets.protect(SECRET)
    hidden = secrets.hide(f"before {written} after")
    assert "[redacted]" in hidden
    assert "p4ss" not in hidden
    assert hidden.startswith("before ")
    assert hidden.endswith(" after")


def test_a_secret_inside_another_leaves_nothing_of_the_longer_one() -> None:
    """
    Where one protected value contains another, the longer is replaced as a whole.
    """
    secrets = Secrets()
    secrets.protect("inner")
    secrets.protect("outer-inner-outer")
    assert secrets.hide("outer-inner-outer") == "[redacted]"


def test_the_latest_of_a_series_are_remembered_and_others_for_good() -> None:
    """
    Tokens come and go for years without the list growing; the client secret stays on it.
    """
    secrets = Secrets()
    secrets.protect("client-secret")
    for number in range(100):
        secrets.protect(f"token-{number:03d}", rotating=True)
    shown = secrets.hide("client-secret token-091 token-092 token-099")
    assert shown == "[redacted] token-091 [redacted] [redacted]"


def test_the_same_token_again_displaces_no_other() -> None:
    """
    An issuer that returns the same token at each refresh leaves the earlier ones protected.
    """
    secrets = Secrets()
    secrets.protect("token-1", rotating=True)
    for _ in range(100):
        secrets.protect("token-2", rotating=True)
    assert secrets.hide("token-1 token-2") == "[redacted] [redacted]"


def test_a_value_too_short_to_be_a_secret_blackens_nothing() -> None:
    """
    An empty or tiny secret does not turn the log into noise.
    """
    secrets = Secrets()
    secrets.protect("")
    secrets.protect("a")
    assert secrets.hide("a plain line") == "a plain line"


def test_several_threads_may_protect_at_once() -> None:
    """
    A secret is read in a thread while a token comes in the loop: neither is lost, neither fails.
    """
    secrets = Secrets()
    values = [[f"secret-{thread}-{number}-of-many" for number in range(60)] for thread in range(4)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor() as threads:
            for protected in [threads.submit(_protect, secrets, some) for some in values]:
                protected.result()
    finally:
        sys.setswitchinterval(before)
    assert {secrets.hide(value) for some in values for value in some} == {"[redacted]"}


def _protect(secrets: Secrets, values: list[str]) -> None:
    for value in values:
        secrets.protect(value)
