"""
``bearer-proxy health``: asks a running proxy how it is, for a container's health check.

It is started every few seconds beside the proxy and on its CPU, so it is written on a bare socket
and imports next to nothing: no argparse, no http, no json, and of this package only `address`.
`tomllib` is imported where the address stands in a configuration file alone. Not even `socket`:
what its Python half drags in (enum, selectors, collections) doubles the cost of a probe, and the C
half below it has had the same interface since Python 2.
"""

import _socket
import os
import sys
from time import monotonic

from proxy.admin.address import join, split

_DEFAULT = "127.0.0.1:8081"
_ANSWER_BYTES = 64 * 1024
_SHOWN_CHARACTERS = 400
_QUESTIONS = {"--live": "/livez", "--ready": "/readyz", "--startup": "/startupz"}
_USAGE = """\
usage: bearer-proxy health [--live | --ready | --startup] [--address HOST:PORT]
                           [--timeout SECONDS] [--config PATH]

Ask a running proxy for its health; exit 0 if it is well, 1 if not, 2 for wrong usage.
Without --address: $BEARER_PROXY_ADMIN_ADDRESS, $BEARER_PROXY_OPS_ADDRESS, the configuration
file's admin.address and ops.address, 127.0.0.1:8081.
"""


def main(argv: list[str]) -> int:
    """Print one line, ``ok`` or why not; return the exit code."""
    try:
        given = options(argv, flags=tuple(_QUESTIONS))
        address = split(given["--address"]) if "--address" in given else None
        timeout = seconds(given.get("--timeout", "2"))
    except ValueError as error:
        sys.stderr.write(f"bearer-proxy health: {error}\n{_USAGE}")
        return 2
    if "--help" in given:
        sys.stdout.write(_USAGE)
        return 0
    question = next((_QUESTIONS[flag] for flag in reversed(given) if flag in _QUESTIONS), "/readyz")
    try:
        trouble = asked(address or configured(given), question, timeout)
    except (OSError, ValueError) as error:
        trouble = str(error)
    sys.stdout.write((one_line(trouble) or "ok") + "\n")
    return 1 if trouble else 0


def options(
    argv: list[str],
    *,
    flags: tuple[str, ...],
    valued: tuple[str, ...] = ("--address", "--timeout", "--config"),
) -> dict[str, str]:
    """Return what *argv* gives, a flag as itself; ValueError for anything else."""
    given: dict[str, str] = {}
    rest = iter(argv)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if argument in flags:
            given[argument] = argument
        elif name in valued:
            given[name] = value if equals else next(rest, "")
            if not given[name]:
                raise ValueError(f"{name} needs a value")
        elif argument in ("--help", "-h"):
            given["--help"] = ""
        else:
            raise ValueError(f"unknown argument {argument!r}")
    return given


def seconds(text: str) -> float:
    """Return the time-out that *text* gives, or raise ValueError."""
    try:
        given = float(text)
    except ValueError:
        given = 0
    if not 0 < given <= 3600:
        raise ValueError(f"--timeout {text!r} is not a number of seconds up to 3600")
    return given


def configured(given: dict[str, str]) -> tuple[str, int]:
    """Return where to ask by environment, file and default, each key by its first source."""
    admin = os.environ.get("BEARER_PROXY_ADMIN_ADDRESS")
    ops = os.environ.get("BEARER_PROXY_OPS_ADDRESS")
    path = given.get("--config") or os.environ.get("BEARER_PROXY_CONFIG")
    if path and not _listening(admin, ops):
        in_file = _in_file(path)
        admin, ops = admin or in_file.get("admin"), ops or in_file.get("ops")
    known = _listening(admin, ops) or _listening(admin or _DEFAULT)
    if not known:
        raise ValueError("admin.address and ops.address are off: there is nothing to ask")
    return split(known[0])


def _listening(*addresses: str | None) -> list[str]:
    return [address for address in addresses if address and address != "off"]


def _in_file(path: str) -> dict[str, str]:
    """Return the addresses in the configuration file at *path*, by table."""
    import tomllib

    with open(path, "rb") as file:
        tables = tomllib.load(file)
    found: dict[str, str] = {}
    for name in ("admin", "ops"):
        table = tables.get(name)
        address = table.get("address") if isinstance(table, dict) else None
        if isinstance(address, str):
            found[name] = address
    return found


def asked(address: tuple[str, int], path: str, timeout: float) -> str:
    """Return what is wrong, empty if nothing is."""
    try:
        status, body = answered(address, path, timeout)
    except ValueError as error:
        return str(error)
    if status == "200":
        return ""
    failing = [line[3:] for line in body.split("\n") if line[:3] == "[-]"]
    return "; ".join(failing) or unexpected(address, path, status)


def answered(
    address: tuple[str, int], path: str, timeout: float, *, accept: str = "*/*"
) -> tuple[str, str]:
    """Return status and body of the answer for *path*; ValueError says why there is none."""
    where = join(*reachable(address))
    try:
        answer = exchange(address, path, monotonic() + timeout, accept=accept)
    except OSError as error:
        raise ValueError(f"{where}: {error.strerror or error}") from None
    head, _, body = answer.partition(b"\r\n\r\n")
    protocol, _, rest = head.partition(b" ")
    if not protocol.startswith(b"HTTP/1."):
        raise ValueError(f"{where} does not answer in HTTP")
    return rest[:3].decode("ascii", "replace"), body.decode("utf-8", "replace")


def unexpected(address: tuple[str, int], path: str, status: str) -> str:
    """Say that whoever is at *address* is probably not a proxy."""
    return f"{join(*reachable(address))} answers {status} for {path}"


def reachable(address: tuple[str, int]) -> tuple[str, int]:
    """Return where to connect for *address*: one to listen everywhere is none to connect to."""
    host, port = address
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port


def exchange(
    address: tuple[str, int],
    path: str,
    deadline: float,
    *,
    method: str = "GET",
    accept: str = "*/*",
    fields: str = "",
    most: int = _ANSWER_BYTES,
) -> bytes:
    """Return the *most* bytes of the answer for *path*; OSError, TimeoutError at *deadline*."""
    host, port = reachable(address)
    question = (
        f"{method} {path} HTTP/1.1\r\nHost: {join(host, port)}\r\nAccept: {accept}\r\n"
        f"{fields}Connection: close\r\n\r\n"
    )
    connection = _connected(host, port, deadline)
    try:
        connection.sendall(question.encode("ascii"))
        answer = b""
        while len(answer) < most:
            connection.settimeout(_left(deadline))
            received = connection.recv(_ANSWER_BYTES)
            if not received:
                break
            answer += received
        return answer
    finally:
        connection.close()


def _connected(host: str, port: int, deadline: float) -> _socket.socket:
    # As bytes: for a str, Python would import its IDNA codec and the tables behind it.
    found = _socket.getaddrinfo(host.encode("ascii"), port, type=_socket.SOCK_STREAM)
    refusal = OSError("no address")
    for family, kind, protocol, _, address in found:
        connection = _socket.socket(family, kind, protocol)
        try:
            connection.settimeout(_left(deadline))
            connection.connect(address)
        except OSError as error:
            connection.close()
            refusal = error
        else:
            return connection
    raise refusal


def _left(deadline: float) -> float:
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def one_line(text: str) -> str:
    """Return *text* fit for one line of a terminal: a stranger may have written it."""
    return "".join(c if c.isprintable() else "?" for c in text[:_SHOWN_CHARACTERS])
