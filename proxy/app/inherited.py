"""
Listening sockets that a supervisor opened before this process: sd_listen_fds(3) and ``fd:N``.

Rule 1: what systemd passed is what ``LISTEN_FDS`` says, and only to the process that ``LISTEN_PID``
        names. Variables meant for another process are none.

Rule 2: a descriptor that is configured is a stream socket that listens, or the start fails. What
        has that number by accident is not touched.
"""

import os
import socket
from collections.abc import MutableMapping, Sequence
from contextlib import suppress

from proxy.app.compose import StartError
from proxy.settings.address import Address, InheritedAddress

_FIRST = 3  # SD_LISTEN_FDS_START


def take(environ: MutableMapping[str, str], pid: int) -> int | None:
    """
    Return how many sockets systemd passed to the process *pid*; None if it was not asked to.

    They stay in this process alone: no child inherits them, and *environ* names them no more.
    """
    meant_for = environ.pop("LISTEN_PID", "")
    number = environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if meant_for != str(pid) or not (number.isascii() and number.isdecimal()):
        return None
    for descriptor in range(_FIRST, _FIRST + int(number)):
        with suppress(OSError):
            os.set_inheritable(descriptor, False)
    return int(number)


def check(addresses: Sequence[Address], passed: int | None) -> None:
    """
    Raise StartError unless each ``fd:N`` of *addresses* is a socket to listen at.

    *passed* is what ``take`` returned. Of sockets that were passed each has to be used: connections
    to one that nobody serves would wait for ever.
    """
    wanted = [each.descriptor for each in addresses if isinstance(each, InheritedAddress)]
    for descriptor in wanted:
        if passed is not None and descriptor >= _FIRST + passed:
            raise StartError(f"cannot listen on fd:{descriptor}: {_passed(passed)}{_INSTEAD}")
        if not _listens(descriptor):
            raise StartError(
                f"cannot listen on fd:{descriptor}: it is no listening socket; it is for a"
                f" supervisor to pass one{_INSTEAD}"
            )
    unused = [each for each in range(_FIRST, _FIRST + (passed or 0)) if each not in wanted]
    if unused:
        names = ", ".join(f"fd:{each}" for each in unused)
        raise StartError(
            f"nobody would answer at {names}: systemd passed it and listen.address has it not;"
            f" set listen.address (BEARER_PROXY_LISTEN_ADDRESS) to {names}, or disable the .socket"
        )


_INSTEAD = "; set listen.address (BEARER_PROXY_LISTEN_ADDRESS) to host:port to open one instead"


def _passed(number: int) -> str:
    last = _FIRST + number - 1
    return {
        0: "systemd passed no socket",
        1: f"systemd passed one socket, fd:{_FIRST}",
    }.get(number, f"systemd passed {number} sockets, fd:{_FIRST} to fd:{last}")


def _listens(descriptor: int) -> bool:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as found:
            return (
                found.family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
                and found.type == socket.SOCK_STREAM
                and bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
            )
    except OSError:
        return False
