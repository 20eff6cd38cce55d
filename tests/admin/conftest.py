"""Fixtures: both listeners over real sockets, in front of a patient that tests can make ill."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from proxy.admin import server
from proxy.metrics import Counts, Exposition
from tests.admin.fakes import TOKEN, Desk, Patient, readings


@pytest.fixture
def patient() -> Patient:
    """Whose health is asked for."""
    return Patient()


@pytest.fixture
def exposition() -> Exposition:
    """Metrics of a proxy that has served nobody."""
    return Exposition(Counts(), readings, version="1.2.3")


@pytest.fixture
def desk() -> Desk:
    """What the status page shows and does."""
    return Desk()


@pytest.fixture
def application(patient: Patient, exposition: Exposition, desk: Desk) -> web.Application:
    """The admin listener's application; its token is TOKEN."""
    return server.admin_app(patient, exposition, desk, token=TOKEN)


@pytest.fixture
async def admin(application: web.Application) -> AsyncIterator[str]:
    """The address of an admin listener."""
    running = await server.start(application, "127.0.0.1:0")
    yield running.address
    await running.stop()


@pytest.fixture
async def ops(patient: Patient, exposition: Exposition) -> AsyncIterator[str]:
    """The address of an ops listener."""
    running = await server.start(server.ops_app(patient, exposition), "127.0.0.1:0")
    yield running.address
    await running.stop()


@pytest.fixture(params=["admin", "ops"])
def listener(request: pytest.FixtureRequest, admin: str, ops: str) -> str:
    """The address of either, as both must behave."""
    return {"admin": admin, "ops": ops}[request.param]
