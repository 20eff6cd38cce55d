"""Whatever is sent: all of it is kept, or nothing."""

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.replay import Kept


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=8), max_size=8), st.integers(0, 32))
def test_what_is_kept_is_what_was_sent_or_nothing(pieces: list[bytes], limit: int) -> None:
    """
    Never more than the limit, never a part.
    """
    kept = Kept(limit)
    for piece in pieces:
        kept.add(piece)
    sent = b"".join(pieces)
    assert kept.whole == (len(sent) <= limit)
    assert b"".join(kept.pieces) == (sent if kept.whole else b"")
