"""Who is at the ends of a client's connection: as people write it, and as the kernel says."""

import socket
import struct


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
