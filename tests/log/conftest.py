"""Fixtures for the log's tests."""

import os
from collections.abc import Iterator
from logging import INFO

import pytest

from proxy.log.output import Output
from proxy.log.pipeline import Pipeline
from proxy.log.sink import Sink


@pytest.fixture
def pipe() -> Iterator[tuple[int, Output]]:
    """An output that writes to a real pipe, and the descriptor to read it from without waiting."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    pipeline = Pipeline(console=False, colours=False, hide=lambda text: text, now=lambda: 0.0)
    with os.fdopen(writing, "w") as stream:
        yield reading, Output(console=False, level=INFO, pipeline=pipeline, sink=Sink(stream))
    os.close(reading)
