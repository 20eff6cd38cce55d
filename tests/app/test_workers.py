"""What the keeper knows of a worker: which clients it holds, and which it has not taken yet."""

import socket
from collections.abc import Iterator

import pytest

from proxy.app.workers import Worker, Workers


def _ignored(*_: object) -> None:
    pass


@pytest.fixture
def pipe() -> Iterator[tuple[socket.socket, socket.socket]]:
    """What clients are handed over by: the keeper's end and the worker's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
async def worker(pipe: tuple[socket.socket, socket.socket]) -> Worker:
    """One worker of one; its process is nobody."""
    workers = Workers(1, {}, greet=_ignored, heard=_ignored, parted=_ignored)
    return Worker(workers, 0, pipe[0], part=0)


@pytest.fixture
def client() -> Iterator[socket.socket]:
    """A client's connection, as the keeper accepted it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours


async def test_a_client_that_is_offered_is_kept_until_the_worker_says_it_took_it(
    worker: Worker, client: socket.socket
) -> None:
    """
    Until then it can be offered to another; from then on it is not the keeper's to close.
    """
    assert worker.offer(client)
    assert list(worker.offered) == [client]
    assert client.fileno() >= 0
    worker.took(1)
    assert not worker.offered
    assert client.fileno() < 0


async def test_a_client_burdens_from_the_offer_to_the_close(
    worker: Worker, client: socket.socket
) -> None:
    """
    Or a burst would all go to the worker that had the fewest when it began.
    """
    worker.offer(client)
    assert worker.burden == 1
    worker.took(1)
    assert worker.burden == 1
    worker.closed(1)
    assert worker.burden == 0


async def test_a_worker_that_can_take_nothing_is_left_with_nothing(
    worker: Worker, client: socket.socket, pipe: tuple[socket.socket, socket.socket]
) -> None:
    """
    The client stays with the keeper, for another worker.
    """
    pipe[1].close()
    assert not worker.offer(client)
    assert worker.burden == 0
    assert client.fileno() >= 0


async def test_a_worker_can_neither_take_more_than_there_is_nor_hold_less_than_none(
    worker: Worker, client: socket.socket
) -> None:
    """
    One that has been taken over must not make itself the one with the fewest.
    """
    worker.closed(1000)
    assert worker.burden == 0
    worker.offer(client)
    with pytest.raises(IndexError):
        worker.took(2)
