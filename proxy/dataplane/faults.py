"""The errors that time, a stop or a lost connection make of a request."""

from proxy.errors import ProxyError

_UNKNOWN = "Whether it acted on the request is not known: send it again only if that does no harm"


def draining() -> ProxyError:
    """Return the error for a request that comes after the stop."""
    return ProxyError(
        "draining",
        "The proxy is stopping and takes no further requests.",
        hint="Send the request again; another instance may take it.",
        retry_after=1,
    )


def cut_short() -> ProxyError:
    """Return the error for a request that was not over when the drain was."""
    return ProxyError(
        "draining",
        "The proxy stopped before the answer was complete.",
        hint=f"{_UNKNOWN}. The limit is [drain] timeout_seconds.",
        retry_after=1,
    )


def overloaded(why: str, key: str) -> ProxyError:
    """Return the error for a request that finds no connection to the upstream."""
    return ProxyError(
        "overloaded",
        f"All connections to the upstream are in use, and {why}.",
        hint=f"Send it again a little later. The limits are upstream.connections and limits.{key}.",
        retry_after=1,
    )


def crowded(connections: int) -> ProxyError:
    """Return the error for a client that connects when too many others are connected."""
    return ProxyError(
        "overloaded",
        f"{connections} clients are connected already.",
        hint="Reuse connections. The limit is limits.connections, or what the descriptors of the"
        " process allow (ulimit -n).",
        retry_after=1,
    )


def no_descriptor(name: str) -> ProxyError:
    """Return the error for a request that the process has no descriptor left to forward with."""
    return ProxyError(
        "overloaded",
        f"The proxy has as many files and sockets open as it may, and none left for {name}.",
        hint="Send it again a little later. Allow the process more descriptors (ulimit -n), or"
        " lower limits.connections.",
        retry_after=1,
    )


def closed(name: str, *, answer_seen: bool) -> ProxyError:
    """Return the error for an upstream that went before its answer had begun, or was whole."""
    when = "in the middle of" if answer_seen else "before"
    return ProxyError(
        "upstream_closed",
        f"{name} closed the connection {when} its answer.",
        hint=f"{_UNKNOWN}.",
        proxy_status="http_response_incomplete" if answer_seen else "",
    )


def silent(name: str, seconds: float) -> ProxyError:
    """Return the error for an upstream that sent nothing for *seconds*."""
    return ProxyError(
        "upstream_timeout",
        f"{name} sent nothing for {seconds:g} s.",
        hint=f"{_UNKNOWN}. The limits are [limits] response_head_seconds and"
        " response_idle_seconds.",
    )


def too_slow(part: str, key: str, seconds: float) -> ProxyError:
    """Return the error for a client that takes too long over a *part* of its request."""
    return ProxyError(
        "request_timeout",
        f"The request's {part} did not go on for {seconds:g} s.",
        hint=f"Send it without a pause, or raise [limits] {key}.",
    )


def head_too_slow(seconds: float) -> ProxyError:
    """Return the error for a client that does not finish the head that it began."""
    return ProxyError(
        "request_timeout",
        f"The request's head was not complete after {seconds:g} s.",
        hint="Send it in one go, or raise [limits] head_seconds.",
    )
