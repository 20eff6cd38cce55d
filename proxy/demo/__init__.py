"""
An embedded API like Hashrails', with an issuer that really checks and faults on demand.

It is what ``bearer-proxy demo`` shows, what the tests of this project run against, and what yours
may use. In an event loop of your own:

    async with DemoAPI(token_seconds=60) as api:
        api.environment()        # BEARER_PROXY_* variables that point a proxy at it
        api.fault("revoke")      # every row of the table in proxy.demo.faults
        api.stats().issued

Without one, ``ThreadedDemoAPI`` offers the same calls from any thread, and
``proxy.demo.pytest_plugin`` the same object as a fixture.
"""

from proxy.demo.server import DemoAPI
from proxy.demo.threaded import ThreadedDemoAPI

__all__ = ["DemoAPI", "ThreadedDemoAPI"]
