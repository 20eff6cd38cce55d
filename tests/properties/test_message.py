"""Whatever fields come: white space around values is nothing, and h11 reads them alike."""

import h11
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy import message
from proxy.policy.message import Malformed

TOKEN_BYTES = b"!#$%&'*+-.^_`|~0123456789ABCXYZabcxyz"

tokens = st.lists(st.sampled_from(TOKEN_BYTES), min_size=1, max_size=12).map(bytes)
values = st.lists(
    st.sampled_from(bytes(range(0x21, 0x7F)) + b" \t" + bytes(range(0x80, 0x100))), max_size=20
).map(lambda octets: bytes(octets).strip(b" \t"))
spaces = st.text(" \t", max_size=3).map(str.encode)


def fields(block: bytes) -> message.Fields:
    return message.fields(block, limit=100)


@settings(max_examples=40)
@given(pairs=st.lists(st.tuples(tokens, spaces, values, spaces), max_size=8))
def test_white_space_around_a_value_is_no_part_of_it(
    pairs: list[tuple[bytes, bytes, bytes, bytes]],
) -> None:
    """
    Any amount of spaces and tabs on either side, none at all included, and the value is the same.
    """
    block = b"".join(b"%b:%b%b%b\r\n" % pair for pair in pairs)
    assert fields(block) == [(name, value) for name, _, value, _ in pairs]


@settings(max_examples=40)
@given(
    block=st.lists(
        st.sampled_from([b"X-A", b":", b" ", b"\t", b"b", b"\r\n", b"\r", b"\n", b"\x00", b"\xe9"]),
        max_size=12,
    ).map(b"".join)
)
def test_what_is_accepted_means_the_same_to_h11(block: bytes) -> None:
    """
    Whatever block we take apart, h11 takes apart alike: what we accept is the common subset.
    """
    try:
        ours = fields(block)
    except Malformed:
        return
    server = h11.Connection(h11.SERVER)
    server.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n" + block + b"\r\n")
    event = server.next_event()
    assert isinstance(event, h11.Request)
    assert list(event.headers.raw_items())[1:] == ours
