"""Fixtures: both listeners over real sockets, in front of a patient that tests can make ill."""

from collections.abc import AsyncIterator

import pytest

from proxy.admin import server
from tests.admin.fakes import Patient


@pytest.fixture
def patient() -> Patient:
    """Whose health is asked for."""
    return Patient()


@pytest.fixture
async def admin(patient: Patient) -> AsyncIterator[str]:
    """The address of an admin listener."""
    running = await server.start(server.admin_app(patient), "127.0.0.1:0")
    yield running.address
    await running.stop()


@pytest.fixture
async def ops(patient: Patient) -> AsyncIterator[str]:
    """The address of an ops listener."""
    running = await server.start(server.ops_app(patient), "127.0.0.1:0")
    yield running.address
    await running.stop()


@pytest.fixture(params=["admin", "ops"])
def listener(request: pytest.FixtureRequest, admin: str, ops: str) -> str:
    """The address of either, as both must behave."""
    return {"admin": admin, "ops": ops}[request.param]
