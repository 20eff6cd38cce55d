"""Whatever is asked for: what is sent is under the base path."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import ProxyError
from proxy.policy import target
from proxy.policy.target import Base

V1 = Base(b"https", b"api.example", b"/v1", frozenset({b"/oauth/token", b"/v1/token"}))


@given(st.binary(max_size=16))
def test_whatever_is_sent_is_under_the_base(octets: bytes) -> None:
    """
    Any bytes behind a slash are refused, or sent as they came behind the base path.
    """
    wanted = b"/" + octets
    try:
        result = target.to_send(wanted, method=b"GET", base=V1)
    except ProxyError:
        return
    assert result == b"/v1" + wanted
