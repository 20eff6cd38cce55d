"""Streams that break under the log."""

import io
import os
import select
import socket
from pathlib import Path

import pytest

from proxy.log.output import Output
from proxy.log.sink import Sink


def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    """
    ENOSPC is counted, not raised.
    """
    with open("/dev/full", "w") as stream:
        sink = Sink(stream)
        sink.put([b"one", b"two"])
        sink.write("three")
        assert sink.lost == 3


def test_a_reader_that_left_costs_lines_and_nothing_else() -> None:
    """
    EPIPE is counted, not raised.
    """
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        os.close(reading)
        sink = Sink(stream)
        sink.write("one")
        assert sink.lost == 1


def test_a_process_without_a_stream_still_runs() -> None:
    """
    A closed standard output loses the log, as whoever closed it wished.
    """
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed):
        sink = Sink(stream)
        sink.write("one")
        assert sink.lost == 1


def test_a_reader_that_falls_behind_gets_every_line_whole(pipe: tuple[int, Output]) -> None:
    """
    What a pipe does not take at once waits in front of the next line, and nobody waits for it.
    """
    reading, output = pipe
    output.sink.write("x" * 1_000_000)
    output.sink.write("next")
    received = b""
    while not received.endswith(b"last\n"):
        received += os.read(reading, 1_000_000)
        output.sink.write("last" if len(received) > 1_000_000 else "more")
    lines = received.split(b"\n")
    assert lines[:2] == [b"x" * 1_000_000, b"next"]
    assert set(lines[2:]) == {b"more", b"last", b""}
    assert output.sink.lost == 0


def test_a_reader_that_stalls_costs_lines_and_no_time(pipe: tuple[int, Output]) -> None:
    """
    Beyond some megabytes lines are lost and counted; those that were kept come out whole.
    """
    reading, output = pipe
    for number in range(10_000):
        output.sink.write(f"{number:01000d}")
    assert output.sink.lost > 5_000
    received = b""
    while output.sink._backlog:
        received += os.read(reading, 1_000_000)
        output.sink.finish(0)
    received += os.read(reading, 1_000_000)
    kept = received.split(b"\n")[:-1]
    assert [int(line) for line in kept] == list(range(len(kept)))
    assert len(kept) + output.sink.lost == 10_000


def test_the_end_does_not_wait_for_a_reader_that_stalls(pipe: tuple[int, Output]) -> None:
    """
    What is left over at the end is given up after a moment.
    """
    _, output = pipe
    output.sink.write("x" * 1_000_000)
    output.sink.finish(0.01)
    assert output.sink._backlog


def test_what_a_terminal_cannot_show_is_escaped() -> None:
    """
    A stream in an encoding without the character still gets the line.
    """
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="ascii") as stream:
        Sink(stream).write("a → b")
    assert os.read(reading, 100) == b"a \\u2192 b\n"
    os.close(reading)


# A sink keeps its descriptor for as long as the process lives.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_several_processes_write_is_pieces_of_whole_lines() -> None:
    """
    None is longer than what the system writes in one go, unless a single line is.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    lines = [b"%03d" % number + b"x" * 300 for number in range(64)]
    lines[7] = b"y" * 2 * select.PIPE_BUF
    with ours, theirs, os.fdopen(os.dup(ours.fileno()), "w") as stream:
        Sink(stream, shared=True).put(lines)
        pieces, left = [], len(lines)
        while left:
            pieces.append(theirs.recv(1 << 20))
            left -= pieces[-1].count(b"\n")
    assert b"".join(pieces) == b"\n".join(lines) + b"\n"
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert len([piece for piece in pieces if len(piece) > select.PIPE_BUF]) == 1
    assert len(pieces) < 10


def test_a_file_that_is_shared_is_written_to_at_once(tmp_path: Path) -> None:
    """
    The system has one process wait for the other there: pieces would cost calls for nothing.
    """
    path = tmp_path / "log"
    lines = [b"x" * 300] * 64
    with path.open("w") as stream:
        before = _writes()
        Sink(stream, shared=True).put(lines)
        assert _writes() == before + 1
    assert path.read_bytes() == b"\n".join(lines) + b"\n"


def _writes() -> int:
    """Return how often this process has asked the system to write."""
    (line,) = (each for each in Path("/proc/self/io").read_text().splitlines() if "syscw" in each)
    return int(line.split()[1])
