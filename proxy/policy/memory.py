"""
A header block remembered line by line, so that the next one need not be read as a whole.

Clients repeat their fields but for one or two: a request id, a trace. Such a block differs from the
last in some values, each behind the very same name, and in nothing else.

Rule 1: only fields that mean nothing to the proxy may differ. Whatever frames, routes, admits or
        nominates has to be the same byte for byte; so has the number and the order of lines.

Rule 2: a doubt means that the block is read afresh. The result is the same either way; a property
        test holds the two together.
"""

from dataclasses import dataclass

from proxy.policy import headers, message

_REQUEST_ID = b"x-request-id:"


@dataclass(slots=True)
class Memory:
    """
    A block's *lines* as received, and what is *sent* for each, empty for what is not passed on.

    *names* has ``Name:`` for those whose value may be another next time, else nothing. *before* and
    *after* stand around what is sent. *request_id* is the client's, if it has one that is taken on.
    """

    lines: list[bytes]
    names: list[bytes]
    sent: list[bytes]
    before: bytes
    after: bytes
    request_id: bytes

    def fields(self) -> bytes:
        """Return all fields to send."""
        return self.before + b"".join(self.sent) + self.after

    def repeated(self, block: bytes) -> "Memory | None":
        """Return the memory of *block*, or None if it differs in more than Rule 1 allows."""
        lines = block.split(b"\r\n")
        if len(lines) != len(self.lines):
            return None
        sent, request_id = self.sent.copy(), self.request_id
        for at, (line, last) in enumerate(zip(lines, self.lines, strict=True)):
            if line != last:
                name = self.names[at] if at < len(sent) else b""
                value = line[len(name) :].strip(b" \t")
                if not name or not line.startswith(name) or not message.is_value(value):
                    return None
                if name.lower() == _REQUEST_ID:
                    if not headers.acceptable_request_id(value):
                        return None
                    request_id = value
                sent[at] = b"%b %b\r\n" % (name, value)
        return Memory(lines, self.names, sent, self.before, self.after, request_id)
