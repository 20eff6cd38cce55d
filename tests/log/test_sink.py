"""Streams that break under the log."""

import io
import os

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


def test_a_torn_line_does_not_swallow_the_next(pipe: tuple[int, Output]) -> None:
    """
    When a pipe took half a line, the next one begins on a line of its own.
    """
    reading, output = pipe
    descriptor = output.sink._descriptor
    assert descriptor is not None
    os.set_blocking(descriptor, False)
    output.sink.write("x" * 1_000_000)
    assert output.sink.lost == 1
    assert set(os.read(reading, 1_000_000)) == {ord("x")}
    output.sink.write("whole")
    output.sink.write("and another")
    assert os.read(reading, 65536).split(b"\n")[-3:] == [b"whole", b"and another", b""]


def test_what_a_terminal_cannot_show_is_escaped() -> None:
    """
    A stream in an encoding without the character still gets the line.
    """
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="ascii") as stream:
        Sink(stream).write("a → b")
    assert os.read(reading, 100) == b"a \\u2192 b\n"
    os.close(reading)
