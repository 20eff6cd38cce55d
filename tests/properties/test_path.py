"""Whatever a path is made of: no reading of it climbs, and plain is plain."""

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import ProxyError
from proxy.policy import path
from tests.policy.paths import encoded, refused

segments = st.text("ab.~-_;%", min_size=1, max_size=6).map(str.encode)


@settings(max_examples=40)
@given(st.lists(segments, max_size=4), st.integers(0, 3), st.integers(0, 4))
def test_wherever_dots_stand_among_segments_they_are_found(
    around: list[bytes], layers: int, at: int
) -> None:
    """
    However deep, and however deeply encoded.
    """
    parts = [*around[:at], encoded(b"..", layers) if layers else b"..", *around[at:]]
    assert refused(b"/" + b"/".join(parts)) == "bad_request"


@settings(max_examples=40)
@given(st.binary(max_size=12))
def test_what_passes_has_no_reading_that_climbs(octets: bytes) -> None:
    """
    Any bytes, decoded as often as it takes, have no dot segment left to resolve.
    """
    text = b"/" + octets
    try:
        path.check(text)
    except ProxyError:
        return
    for reading in path.readings(text):
        assert not {b".", b".."} & set(reading.split(b"/"))
        assert b"\\" not in reading


@settings(max_examples=40)
@given(st.lists(segments.filter(lambda s: b"%" not in s), max_size=4).map(b"/".join))
def test_the_plain_form_of_a_plain_form_is_itself(text: bytes) -> None:
    """
    It can be compared, whichever of the two was made plain first.
    """
    once = path.plain(b"/" + text)
    assert path.plain(once) == once
