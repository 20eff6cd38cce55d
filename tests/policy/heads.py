"""Blocks of fields, read and asked about in a line."""

from proxy.policy import reading, verdict
from proxy.policy.admission import Admission
from proxy.policy.message import Malformed
from proxy.policy.reading import Received
from proxy.policy.rules import Rules
from proxy.policy.target import Base
from proxy.policy.verdict import Asked

RULES = Rules(
    base=Base(b"https", b"api.test", b"/v1"),
    admission=Admission(origins=frozenset({b"https://page.test"})),
)
LINE = b"GET /transactions?page=1%20 HTTP/1.1"


def read(block: bytes) -> Received | None:
    """Return what the long way says, None where it refuses to read."""
    try:
        return reading.read(block, minor=1, rules=RULES, local="127.0.0.1")
    except Malformed:
        return None


def ask(received: Received) -> Asked:
    """Return what a GET of one target asks for."""
    return verdict.ask(b"GET", b"/transactions?page=1%20", received, RULES)


def head(block: bytes) -> bytes:
    return LINE + b"\r\n" + block + b"\r\n"
