"""What is measured, as data: a further mode is a further row."""

from dataclasses import dataclass
from typing import Literal

# load: requests, one after the other on each connection. bulk: one large body. idle: memory.
# start: from nothing to an answer. refresh: load while tokens are renewed.
Kind = Literal["load", "bulk", "idle", "start", "refresh"]


@dataclass(frozen=True, kw_only=True)
class Mode:
    """One thing to measure; the client always speaks plain HTTP/1.1 with keep-alive."""

    name: str
    about: str
    kind: Kind = "load"
    figure: str = "cpu_us"  # of FIGURES: what is compared
    upstream: Literal["http", "https"] = "http"
    method: str = "GET"
    path: str = "/transactions"
    body_bytes: int = 0
    connections: int = 32
    # Another X-Request-Id in each request, so that no two heads of a connection are equal.
    varied: bool = False
    # Those alone are measured, and to the first of them compared; empty: all.
    peers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """How a figure is called and how many of its decimal places mean something."""

    name: str
    digits: int


FIGURES = {
    "cpu_us": Figure("CPU µs/request", 1),
    "p50_us": Figure("p50 µs", 0),
    "p99_us": Figure("p99 µs", 0),
    "requests_per_second": Figure("requests/s", 0),
    "busy": Figure("busy", 2),
    "cpu_s_per_gb": Figure("CPU s/GB", 2),
    "idle_kib": Figure("KiB/connection", 1),
    "start_mib": Figure("MiB at start", 1),
    "first_200_ms": Figure("ms to the first 200", 0),
    "start_cpu_ms": Figure("CPU ms till then", 0),
    "refresh_p99": Figure("p99 with/without", 2),
    "p99_us_with": Figure("p99 µs with", 0),
    "p99_us_without": Figure("p99 µs without", 0),
}
_BULK = "256 MiB {}, http upstream"
_OURS = ("bearer-proxy",)

MODES = {
    mode.name: mode
    for mode in (
        Mode(name="small-get", about="GET, 0.4 KiB answer, http upstream"),
        Mode(name="varied-heads", about="the same, each request another X-Request-Id", varied=True),
        Mode(name="https-upstream", about="GET, 0.4 KiB answer, https upstream", upstream="https"),
        Mode(name="post-2k", about="POST of 2 KiB, http upstream", method="POST", body_bytes=2048),
        Mode(
            name="one-connection",
            about="GET on a single connection",
            connections=1,
            figure="p50_us",
        ),
        Mode(
            name="down",
            about=_BULK.format("down"),
            kind="bulk",
            figure="cpu_s_per_gb",
            path="/bulk",
        ),
        Mode(
            name="up",
            about=_BULK.format("up"),
            kind="bulk",
            figure="cpu_s_per_gb",
            method="PUT",
            path="/sink",
        ),
        Mode(
            name="idle",
            about="1,000 client connections that have had a request each",
            kind="idle",
            figure="idle_kib",
            connections=1000,
        ),
        Mode(
            name="start",
            about="from the command to the first 200 through it",
            kind="start",
            figure="first_200_ms",
        ),
        Mode(
            name="access-log",
            about="what a JSON line for each request, into a file, adds",
            peers=("unlogged", "bearer-proxy"),
        ),
        Mode(
            name="two-workers",
            about="small GET by two workers and their keeper, on the one core",
            peers=("bearer-proxy", "two-workers"),
        ),
        Mode(
            name="refresh",
            about="seconds in which the token is renewed, beside those in which it is not",
            kind="refresh",
            figure="refresh_p99",
            peers=_OURS,
        ),
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
