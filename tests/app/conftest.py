"""The composed proxy is tested on the event loop that it runs on."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Use uvloop."""
    return {"uvloop": uvloop.new_event_loop}
