"""
A credential taken out of what comes back: an upstream that repeats it must not hand it to clients.

Rule 1: what is hidden keeps its length, so that every length that was announced stays true.

Rule 2: however a body is cut into pieces, what comes out of them is the whole one with the
        credential hidden; a property test holds the two together.

Rule 3: what is too short to be a token of any worth is not looked for: it would be found in words
        that mean something, a status or a length among them.

Rule 4: nothing is kept back but what may be the beginning of the credential. Whatever ends in a
        character that it has not, such as an event of a stream, passes at once.

A token that the upstream writes in another way (percent-encoded, in Base64, with JSON's escapes) is
not recognised.
"""

SHORTEST = 8


def hidden(text: bytes, token: bytes) -> bytes:
    """Return *text* with asterisks in the place of every *token*, which is not empty."""
    return text.replace(token, b"*" * len(token))


class Mask:
    """Hides *token* in a body that comes in pieces."""

    __slots__ = ("_held", "_token")

    def __init__(self, token: bytes) -> None:
        self._token = token
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """Return what may pass of the body so far; fewer bytes than the token has are kept back."""
        data = hidden(self._held + piece, self._token)
        keep = self._beginning(data)
        self._held = data[len(data) - keep :]
        return data[: len(data) - keep]

    def end(self) -> bytes:
        """Return what was kept back: the body has ended, and it was no token."""
        held, self._held = self._held, b""
        return held

    def _beginning(self, data: bytes) -> int:
        """Return how many bytes at the end of *data* the token could begin with."""
        token = self._token
        first = token[:1]
        at = data.find(first, max(0, len(data) - len(token) + 1))
        while at >= 0:
            if token.startswith(data[at:]):
                return len(data) - at
            at = data.find(first, at + 1)
        return 0
