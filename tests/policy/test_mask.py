"""A token hidden in what comes back, however that is cut."""

from proxy.policy.mask import Mask
from tests.each import each

TOKEN = b"abacab.abac"
STARS = b"*" * len(TOKEN)


def masked(pieces: list[bytes], token: bytes = TOKEN) -> bytes:
    mask = Mask(token)
    return b"".join([*map(mask.feed, pieces), mask.end()])


@each("cut", range(len(TOKEN) + 4))
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
