"""A log that says nothing."""

import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture
def silence() -> Iterator[None]:
    """Nothing is logged: a month has many lines."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)
