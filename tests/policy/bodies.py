"""Bodies, read in pieces."""

from proxy.policy import framing


def read(framed: int, *pieces: bytes) -> tuple[bytes, bytes, framing.Body]:
    """Return content, what is behind the end, and the reader, after feeding it *pieces*."""
    body = framing.reader(framed)
    content = rest = b""
    for piece in pieces:
        if body.done:
            rest += piece
            continue
        found, behind = body.feed(piece)
        content, rest = content + found, rest + behind
    return content, rest, body
