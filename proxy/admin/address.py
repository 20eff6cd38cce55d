"""Where the admin and ops listeners are: ``host:port``. Imports nothing; `health` lives on it."""


def split(address: str) -> tuple[str, int]:
    """Return host (an IPv6 literal without its brackets) and port, or raise ValueError."""
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    valid = colon and host and bracketed == (":" in host) and port.isascii() and port.isdigit()
    if not valid or len(port) > 5 or int(port) > 65535:
        raise ValueError(f"{address!r} is not HOST:PORT")
    return host, int(port)


def join(host: str, port: int) -> str:
    """Return the address of *host* and *port*, as `split` takes it and a URL needs it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
