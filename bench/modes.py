"""The kinds of load, as data: a further mode is a further row."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Mode:
    """One kind of load; the client always speaks plain HTTP/1.1 with keep-alive."""

    name: str
    about: str
    upstream: Literal["http", "https"] = "http"
    method: str = "GET"
    path: str = "/transactions"
    body_bytes: int = 0
    connections: int = 32
    # Another X-Request-Id in each request, so that no two heads of a connection are equal.
    varied: bool = False


MODES = {
    mode.name: mode
    for mode in (
        Mode(name="small-get", about="GET, 0.4 KiB answer, http upstream"),
        Mode(name="varied-heads", about="the same, each request another X-Request-Id", varied=True),
        Mode(name="post-2k", about="POST of 2 KiB, http upstream", method="POST", body_bytes=2048),
        Mode(name="https-upstream", about="GET, 0.4 KiB answer, https upstream", upstream="https"),
        Mode(name="one-connection", about="GET on a single connection", connections=1),
    )
}

# What an HTTP library in an application sends; Host is the load generator's.
CLIENT_FIELDS = {
    "User-Agent": "python-requests/2.32.3",
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "Accept-Language": "en-GB,en;q=0.9",
    "Content-Type": "application/json",
    "Cache-Control": "no-cache",
    "X-Client-Version": "2025.11.3",
}
