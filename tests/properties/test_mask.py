"""Whatever comes back, and however it is cut, no token comes out of it."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.mask import Mask, hidden

TOKEN = b"abacab.abac"

# Bodies that are full of tokens, of their beginnings and of their ends.
_pieces = st.lists(
    st.one_of(
        st.just(TOKEN),
        st.integers(0, len(TOKEN)).map(lambda n: TOKEN[:n]),
        st.integers(0, len(TOKEN)).map(lambda n: TOKEN[n:]),
        st.binary(max_size=5),
    ),
    max_size=12,
)


@given(_pieces, st.lists(st.integers(0, 200), max_size=6))
def test_what_comes_in_pieces_is_hidden_as_a_whole_is(parts: list[bytes], cuts: list[int]) -> None:
    """
    The cut makes no difference, the length stays, and no token comes out.
    """
    whole = b"".join(parts)
    ends = sorted({min(cut, len(whole)) for cut in cuts} | {0, len(whole)})
    mask = Mask(TOKEN)
    pieces = [whole[start:end] for start, end in pairwise(ends)]
    out = b"".join([*map(mask.feed, pieces), mask.end()])
    assert out == hidden(whole, TOKEN)
    assert len(out) == len(whole)
    assert TOKEN not in out
