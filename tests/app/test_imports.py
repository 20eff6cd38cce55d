"""What is imported at the start: nothing that few proxies are ever asked for."""

import json
import subprocess
import sys

SELDOM = {
    "opentelemetry",
    "prometheus_client",
    "proxy.admin.page",
    "proxy.admin.view",
    "proxy.app.fleet",
    "proxy.app.online",
    "proxy.app.tracing",
    "proxy.app.view",
    "proxy.tracing",
    "proxy.worker",
}


def test_a_start_imports_nothing_that_is_seldom_asked_for() -> None:
    """
    A tenth of the time until the first answer would be theirs.
    """
    program = "import json, sys; import proxy.app; json.dump(sorted(sys.modules), sys.stdout)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(done.stdout))
    assert "proxy.app.serving" in loaded
    assert not SELDOM & loaded
