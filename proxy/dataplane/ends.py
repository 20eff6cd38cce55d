"""What the kernel says of connections: who is at their ends, and whether there may be more."""

import os
import select
import socket
import struct
from contextlib import ExitStack


def shown(address: tuple[str, int] | str | None) -> str:
    """Return a socket's *address* as ``127.0.0.1:8080``, ``[::1]:8080`` or ``unix:/path``."""
    if isinstance(address, tuple):
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"unix:{address}" if address else ""


def user(sock: socket.socket) -> int | None:
    """Return the id of the user at the other end of a Unix socket, None where that is not told."""
    option = getattr(socket, "SO_PEERCRED", None)  # Linux
    if option is None or sock.family != socket.AF_UNIX:
        return None
    _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, option, 12))
    return int(uid)


def is_gone(sock: socket.socket, *, half_is_gone: bool) -> bool:
    """
    Tell whether the other end has closed *sock*, which is not being read from.

    *half_is_gone*: ending its own half counts as that, where the system tells (Linux).
    """
    gone = select.POLLHUP | select.POLLERR
    if half_is_gone:
        gone |= getattr(select, "POLLRDHUP", 0)
    poll = select.poll()
    poll.register(sock.fileno(), gone)
    return bool(poll.poll(0))


def may_open(number: int) -> bool:
    """Tell whether the process may have that *number* of descriptors more."""
    with ExitStack() as stack:
        try:
            for _ in range(number):
                stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        except OSError:
            return False
    return True
