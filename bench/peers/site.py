"""What a proxy is told: where to listen, and what it stands in front of."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.processes import Launch
from bench.upstream import Upstream


@dataclass(frozen=True, kw_only=True)
class Site:
    """One proxy's place: *directory* is its own, *port* its listener's on 127.0.0.1."""

    directory: Path
    port: int
    upstream: Upstream
    scheme: Literal["http", "https"]
    admin_port: int  # for who has a second listener
    short_tokens: bool = False

    @property
    def base_url(self) -> str:
        """The API's base; requests for ``/x`` must reach ``<base_url>/x``."""
        return f"{self.scheme}://{self.upstream.authority(self.scheme)}/v1"

    @property
    def issuer_url(self) -> str:
        """Where a token is issued, to whatever credentials; always plain http."""
        path = "/auth/token/issue-short" if self.short_tokens else "/auth/token/issue"
        return f"http://{self.upstream.authority('http')}{path}"


@dataclass(frozen=True, slots=True)
class Peer:
    """
    A proxy to compare: *launch* writes its configuration into the directory, and says how to start.

    *missing* says what this machine lacks for it, and how to get that; empty if nothing.
    """

    about: str
    launch: Callable[[Site], Launch]
    missing: Callable[[], str] = lambda: ""
