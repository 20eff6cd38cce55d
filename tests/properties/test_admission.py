"""Whatever a Host says: it is judged, and nothing under a public domain passes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import ProxyError
from proxy.policy import admission
from proxy.policy.admission import Admission


def host(value: bytes) -> str:
    """Return the code that a Host is refused with, empty if it is not."""
    try:
        admission.check_host(value, rules=Admission(), local="127.0.0.1")
    except ProxyError as error:
        return error.code
    return ""


@settings(max_examples=40)
@given(st.from_regex(rb"[a-z0-9._-]{1,20}", fullmatch=True))
def test_a_suffix_under_a_public_domain_is_always_refused(prefix: bytes) -> None:
    """
    Whatever stands before it.
    """
    assert host(prefix + b".evil.com") == "host_not_allowed"


@settings(max_examples=40)
@given(st.binary(max_size=12))
def test_a_host_of_any_bytes_is_judged(value: bytes) -> None:
    """
    Accepted or refused, with one of two codes.
    """
    assert host(value) in ("", "bad_request", "host_not_allowed")
