"""
A fixture for your tests: the embedded API, one a test, in a thread of its own.

In ``conftest.py``:

    pytest_plugins = ["proxy.demo.pytest_plugin"]

In a test, synchronous or not:

    def test_my_tool_survives_a_revocation(demo_api):
        start_my_tool(environment=demo_api.environment())
        demo_api.fault("revoke")
        ...
        assert demo_api.stats().issued == 2

Faults and their parameters are the table in ``proxy.demo.faults``. A marker sets the parameters of
``DemoAPI``: ``@pytest.mark.demo_api(token_seconds=2)``. Nothing is registered by installing.
"""

from collections.abc import Iterator

import pytest

from proxy.demo.threaded import ThreadedDemoAPI


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, for those who run with --strict-markers."""
    config.addinivalue_line("markers", "demo_api(**options): parameters of the demo_api fixture")


@pytest.fixture
def demo_api(request: pytest.FixtureRequest) -> Iterator[ThreadedDemoAPI]:
    """An embedded API with its issuer, and faults on demand; ended with the test."""
    marker = request.node.get_closest_marker("demo_api")
    with ThreadedDemoAPI(**(marker.kwargs if marker else {})) as api:
        yield api
