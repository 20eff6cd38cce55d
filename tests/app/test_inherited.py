"""Sockets that somebody opened before us, and the variables that speak of them."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from proxy.app import inherited
from proxy.app.compose import StartError
from proxy.settings.address import InheritedAddress, TcpAddress

OPEN = TcpAddress("127.0.0.1", 8080)


@pytest.fixture
def descriptor() -> Iterator[int]:
    """The descriptor of a listening socket."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.fileno()


def test_variables_are_for_the_process_that_they_name() -> None:
    """
    Whomever they were meant for, nobody finds them afterwards.
    """
    ours = {"LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b", "HOME": "/"}
    others = {**ours, "LISTEN_PID": "8"}
    assert inherited.take(ours, 7) == 2
    assert inherited.take(others, 7) is None
    assert ours == others == {"HOME": "/"}


@pytest.mark.parametrize("number", ["", "-1", "two", "²"])
def test_a_number_that_is_none_passes_nothing(number: str) -> None:
    """
    Nonsense is not guessed at.
    """
    assert inherited.take({"LISTEN_PID": "7", "LISTEN_FDS": number}, 7) is None


@contextmanager
def not_listening() -> Iterator[list[int]]:
    """Descriptors that are no listening stream sockets."""
    with ExitStack() as stack:
        reader, writer = os.pipe()
        stack.callback(os.close, reader)
        stack.callback(os.close, writer)
        datagrams = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        unbound = stack.enter_context(socket.socket())
        closed = os.dup(reader)
        os.close(closed)
        yield [reader, datagrams.fileno(), unbound.fileno(), closed]


def test_a_descriptor_has_to_be_a_listening_socket(descriptor: int) -> None:
    """
    A pipe, a datagram socket, one that does not listen or none at all is said to be none.
    """
    inherited.check([InheritedAddress(descriptor)], None)
    with not_listening() as others:
        for other in others:
            with pytest.raises(StartError, match=rf"^cannot listen on fd:{other}: it is no listen"):
                inherited.check([InheritedAddress(other)], None)


@pytest.mark.parametrize(
    ("passed", "said"),
    [
        (0, "systemd passed no socket;"),
        (1, "systemd passed one socket, fd:3;"),
        (2, "systemd passed 2 sockets, fd:3 to fd:4;"),
    ],
)
def test_what_is_configured_beyond_what_was_passed_is_told(passed: int, said: str) -> None:
    """
    With what was, and what to set instead.
    """
    with pytest.raises(StartError) as raised:
        inherited.check([InheritedAddress(3 + passed)], passed)
    assert str(raised.value).startswith(f"cannot listen on fd:{3 + passed}: {said}")


def test_what_was_passed_has_to_be_served() -> None:
    """
    Or whoever connects would wait for ever.
    """
    with pytest.raises(StartError, match=r"^nobody would answer at fd:3, fd:4: ") as raised:
        inherited.check([OPEN], 2)
    assert "(BEARER_PROXY_LISTEN_ADDRESS) to fd:3, fd:4," in str(raised.value)
    inherited.check([OPEN], 0)
    inherited.check([OPEN], None)
