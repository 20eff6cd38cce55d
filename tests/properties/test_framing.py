"""However a chunked body is cut, and by whomever it is read, it ends at one place."""

from itertools import pairwise

import h11
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy import framing
from proxy.policy.framing import CHUNKED
from tests.policy.bodies import read

NEXT = b"GET /next HTTP/1.1\r\n"


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=20), max_size=4),
    trailer=st.sampled_from([b"", b"X-T: 1\r\n", b"X-T:\r\nx-u:  caf\xe9 \r\n"]),
    cuts=st.lists(st.integers(0, 150), max_size=6),
)
@settings(max_examples=60)
def test_where_the_bytes_are_cut_makes_no_difference(
    pieces: list[bytes], trailer: bytes, cuts: list[int]
) -> None:
    """
    Content, trailers and the place of the end are the same for every division into reads.
    """
    encoded = b"".join(map(framing.chunk, pieces)) + framing.last_chunk(trailer) + NEXT
    edges = [0, *sorted(min(cut, len(encoded)) for cut in cuts), len(encoded)]
    parts = [encoded[a:b] for a, b in pairwise(edges) if a < b]
    content, rest, body = read(CHUNKED, *parts)
    whole = read(CHUNKED, encoded)
    assert (content, rest, body.done) == (b"".join(pieces), NEXT, True)
    assert body.trailers == whole[2].trailers


@given(pieces=st.lists(st.binary(min_size=1, max_size=20), max_size=4))
@settings(max_examples=40)
def test_what_we_write_is_what_h11_reads(pieces: list[bytes]) -> None:
    """
    Our own chunks, read by another implementation.
    """
    server = h11.Connection(h11.SERVER)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    server.receive_data(
        head + b"".join(map(framing.chunk, pieces)) + framing.last_chunk(b"X-T: 1\r\n")
    )
    assert isinstance(server.next_event(), h11.Request)
    content = b""
    while isinstance(event := server.next_event(), h11.Data):
        content += event.data
    assert content == b"".join(pieces)
    assert isinstance(event, h11.EndOfMessage)
    assert list(event.headers) == [(b"x-t", b"1")]
