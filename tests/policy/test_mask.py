"""A token hidden in what comes back, however that is cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.mask import Mask, hidden

TOKEN = b"abacab.abac"
STARS = b"*" * len(TOKEN)

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


def masked(pieces: list[bytes], token: bytes = TOKEN) -> bytes:
    mask = Mask(token)
    return b"".join([*map(mask.feed, pieces), mask.end()])


@given(_pieces, st.lists(st.integers(0, 200), max_size=6))
def test_what_comes_in_pieces_is_hidden_as_a_whole_is(parts: list[bytes], cuts: list[int]) -> None:
    """
    The cut makes no difference, the length stays, and no token comes out.
    """
    whole = b"".join(parts)
    ends = sorted({min(cut, len(whole)) for cut in cuts} | {0, len(whole)})
    pieces = [whole[start:end] for start, end in pairwise(ends)]
    out = masked(pieces)
    assert out == hidden(whole, TOKEN)
    assert len(out) == len(whole)
    assert TOKEN not in out


@pytest.mark.parametrize("cut", range(len(TOKEN) + 4))
def test_a_token_across_a_border_is_hidden(cut: int) -> None:
    """
    At every byte.
    """
    body = b"<" + TOKEN + b">"
    assert masked([body[:cut], body[cut:]]) == b"<" + STARS + b">"


def test_a_token_that_comes_byte_by_byte_is_hidden() -> None:
    """
    Nothing of it has passed before its last byte is there.
    """
    mask = Mask(TOKEN)
    assert b"".join(mask.feed(bytes([octet])) for octet in TOKEN[:-1]) == b""
    assert mask.feed(TOKEN[-1:]) == STARS
    assert mask.end() == b""


def test_what_can_t_go_on_as_a_token_passes_at_once() -> None:
    """
    An event of a stream ends in a line's end, and is not delayed.
    """
    mask = Mask(TOKEN)
    assert mask.feed(b"data: ab\n\n") == b"data: ab\n\n"
    assert mask.feed(b"data: ab") == b"data: "
    assert mask.feed(b"x\n\n") == b"abx\n\n"


def test_the_beginning_of_a_token_at_the_end_passes_then() -> None:
    """
    A body that ends in half a token is complete all the same.
    """
    mask = Mask(TOKEN)
    assert mask.feed(b"so aba") + mask.end() == b"so aba"
    assert mask.end() == b""
