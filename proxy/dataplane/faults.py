"""The errors that time, a stop or a lost connection make of a request."""

from proxy.errors import ProxyError


def draining() -> ProxyError:
    """Return the error for a request that comes after the stop."""
    return ProxyError(
        "draining",
        "The proxy is stopping and takes no further requests.",
        hint="Send the request again; another instance may take it.",
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
        hint="Reuse connections. The limit is limits.connections, or half of the descriptors that"
        " the process may have.",
        retry_after=1,
    )


def closed(name: str, *, answer_seen: bool) -> ProxyError:
    """Return the error for an upstream that went before its answer had begun, or was whole."""
    when = "in the middle of" if answer_seen else "before"
    return ProxyError(
        "upstream_closed",
        f"{name} closed the connection {when} its answer.",
        hint="Whether it acted on the request is not known.",
        proxy_status="http_response_incomplete" if answer_seen else "",
    )


def silent(name: str, seconds: float) -> ProxyError:
    """Return the error for an upstream that sent nothing for *seconds*."""
    return ProxyError(
        "upstream_timeout",
        f"{name} sent nothing for {seconds:g} s.",
        hint="Whether it acted on the request is not known. The limits are [limits] "
        "response_head_seconds and response_idle_seconds.",
    )


def too_slow(part: str, key: str, seconds: float) -> ProxyError:
    """Return the error for a client that takes too long over a *part* of its request."""
    return ProxyError(
        "request_timeout",
        f"The request's {part} did not go on for {seconds:g} s.",
        hint=f"The limit is [limits] {key}.",
    )


def head_too_slow(seconds: float) -> ProxyError:
    """Return the error for a client that does not finish the head that it began."""
    return ProxyError(
        "request_timeout",
        f"The request's head was not complete after {seconds:g} s.",
        hint="The limit is [limits] head_seconds.",
    )
