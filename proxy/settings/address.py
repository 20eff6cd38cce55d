"""
Where a listener listens, read from one line of configuration.

Four forms: ``host:port``, ``[ipv6]:port``, ``unix:/path`` and ``fd:N``. Port 0 lets the system
choose. An empty host is refused rather than taken for "every interface": who opens a port that adds
credentials to the world should have to say so.
"""

import ipaddress
import re
from dataclasses import dataclass

# sun_path holds 108 bytes on Linux, the terminating NUL among them.
_UNIX_PATH_BYTES = 107
_NAME = re.compile(r"(?!-)[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host (name or literal, IPv6 without brackets) and a port; 0 means any free one."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it; a name counts only when it is localhost."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """The absolute path of a Unix socket."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class InheritedAddress:
    """A listening socket that the starter of the process left open, by its descriptor."""

    descriptor: int

    def __str__(self) -> str:
        return f"fd:{self.descriptor}"


Address = TcpAddress | UnixAddress | InheritedAddress


def is_loopback(host: str) -> bool:
    """Tell whether *host* can only be this machine (RFC 6761 section 6.3 for the names)."""
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def parse_address(text: str) -> Address:
    """Return the address that *text* names; ValueError says in one phrase what is wrong."""
    if text.startswith("unix:"):
        return _unix(text.removeprefix("unix:"))
    if text.startswith("fd:"):
        return _inherited(text.removeprefix("fd:"))
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError(f"{text!r} has no port; write host:port, for example 127.0.0.1:8080")
    return TcpAddress(_host(host, text), _port(port, text))


def _host(host: str, text: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        return _ipv6(host[1:-1], text)
    if ":" in host:
        raise ValueError(f"{text!r} is ambiguous; write an IPv6 address in brackets, [::1]:8080")
    if host in ("", "*"):
        raise ValueError(
            f"{text!r} names no host; write 127.0.0.1 for this machine only, or 0.0.0.0 to let"
            " everyone who reaches the port use the credentials"
        )
    if not _NAME.fullmatch(host):
        raise ValueError(f"{text!r} has no valid host; write host:port, for example 127.0.0.1:8080")
    if re.fullmatch(r"[0-9.]+", host):
        return _ipv4(host, text)
    return host.lower()


def _ipv4(host: str, text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        raise ValueError(f"{text!r} has no valid IPv4 address") from None


def _ipv6(host: str, text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(host))
    except ValueError:
        raise ValueError(f"{text!r} has no valid IPv6 address in its brackets") from None


def _port(port: str, text: str) -> int:
    if not (port.isascii() and port.isdecimal()):
        raise ValueError(f"{text!r} has no port; write host:port, for example 127.0.0.1:8080")
    if len(port) > 9 or int(port) > 65535:
        raise ValueError(f"port {port[:9]} is above 65535")
    return int(port)


def _unix(path: str) -> UnixAddress:
    if not path.startswith("/") or path.endswith("/"):
        raise ValueError("a Unix socket needs an absolute path, for example unix:/run/proxy.sock")
    if "\0" in path:
        raise ValueError("the path of a Unix socket cannot hold a NUL")
    size = len(path.encode(errors="surrogateescape"))
    if size > _UNIX_PATH_BYTES:
        raise ValueError(
            f"the path has {size} bytes; a Unix socket's has at most {_UNIX_PATH_BYTES}"
        )
    return UnixAddress(path)


def _inherited(number: str) -> InheritedAddress:
    if not (number.isascii() and number.isdecimal() and len(number) <= 9):
        raise ValueError("an inherited socket is named by its descriptor, for example fd:3")
    if int(number) < 3:
        raise ValueError(f"fd:{int(number)} is a standard stream; passed sockets start at fd:3")
    return InheritedAddress(int(number))
