"""A token fit to be sent, and how the data plane asks for one."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from proxy.errors import ProxyError


@dataclass(frozen=True, slots=True)
class Credential:
    """
    A token and the times that bound its use, in seconds on the clock of whoever made it.

    Equality is identity of the token's bytes: the same token issued twice is one credential.
    The token appears in no representation of the object.
    """

    token: str = field(repr=False)
    issued_at: float = field(compare=False)
    usable_until: float = field(compare=False)
    expires_at: float = field(compare=False)
    # The whole field line, made once: the data plane copies it into every head.
    line: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        line = b"Authorization: Bearer %b\r\n" % self.token.encode("ascii")
        object.__setattr__(self, "line", line)

    @property
    def fingerprint(self) -> str:
        """Eight hex digits of the token's SHA-256: enough to tell two apart, useless to a thief."""
        return hashlib.sha256(self.token.encode("ascii")).hexdigest()[:8]


class Credentials(Protocol):
    """
    What the data plane knows of tokens; who fills the cache behind it is not its business.

    Nothing here waits. ``current`` is called for every request and must be a plain read.
    """

    def current(self) -> Credential | None:
        """Return the credential to send, or None when none is usable at this moment."""
        ...

    def shortage(self) -> ProxyError:
        """Say why there is none, and in how many seconds the next try is (``retry_after``)."""
        ...

    def worth_waiting(self, seconds: float) -> bool:
        """Tell whether a fetch is under way, or due within *seconds*."""
        ...

    def on_change(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have *call* run whenever an answer above may have changed; return its cancellation."""
        ...

    def refused(self, credential: Credential) -> bool:
        """
        Report that the upstream answered 401 to *credential*.

        If it is still the cached one it is dropped and one fetch is forced, shared by everyone who
        reports the same. True when waiting for a replacement and replaying makes sense; False when
        the 401 should be passed on (refreshing is latched, or fresh tokens were refused as well).
        A replacement that equals *credential* means that the issuer stands by it: pass the 401 on.
        """
        ...
