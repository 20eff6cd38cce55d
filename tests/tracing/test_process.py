"""The installed command, and a collector that does not let go."""

import time
import urllib.request
from pathlib import Path

from proxy.demo.threaded import ThreadedDemoAPI
from proxy.tracing.collector import STOP_SECONDS
from tests.e2e.process import ProxyProcess
from tests.tracing.collector import Collector


def test_a_collector_that_hangs_does_not_keep_the_process(tmp_path: Path) -> None:
    """
    SIGTERM is obeyed within seconds, with exit code 0 and a line that says what was lost.
    """
    with Collector() as collector, ThreadedDemoAPI() as api:
        collector.open.clear()
        environment = {
            **api.environment(),
            "BEARER_PROXY_TRACING_ENABLED": "true",
            "BEARER_PROXY_TRACING_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "20",
        }
        with ProxyProcess(environment, tmp_path) as process:
            with urllib.request.urlopen(f"{process.url}/echo") as answer:
                assert answer.status == 200
            collector.until_asked(1)
            begun = time.monotonic()
            assert process.stop() == 0
            assert time.monotonic() - begun < STOP_SECONDS + 5
            assert process.wait_for("tracing.cut_off")
            assert not process.errors
