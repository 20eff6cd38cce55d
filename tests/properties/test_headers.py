"""However long a name is, it means what it says."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.policy import headers
from proxy.policy.headers import Kind


@given(st.sampled_from([b"x-forwarded-", b"x-a-"]), st.integers(40, 200))
def test_a_long_name_means_what_a_short_one_does(start: bytes, length: int) -> None:
    """
    No bound of a memory changes a meaning.
    """
    kind = Kind.FORGEABLE if start == b"x-forwarded-" else Kind.END_TO_END
    assert headers.kind_of(start + b"a" * length) is kind
