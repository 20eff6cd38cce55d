"""Fixtures: the installed command in front of the embedded API, over plain http."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy.demo.threaded import ThreadedDemoAPI
from tests.e2e.process import ProxyProcess

Begin = Callable[..., ProxyProcess]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Start a proxy that has these settings, by the names of their variables, and return it."""
    with ExitStack() as stack:
        api = stack.enter_context(ThreadedDemoAPI())

        def start(wrapper: list[str] | None = None, **settings: object) -> ProxyProcess:
            given = {f"BEARER_PROXY_{key.upper()}": str(value) for key, value in settings.items()}
            environment = {**api.environment(), **given}
            proxy = stack.enter_context(ProxyProcess(environment, tmp_path, wrapper=wrapper or ()))
            proxy.wait_for("proxy.ready")
            return proxy

        yield start
