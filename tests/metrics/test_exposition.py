"""What Prometheus is given."""

import subprocess
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.metrics import Counts, Exposition
from tests.admin.fakes import readings
from tests.metrics.facts import request

# The promise: dashboards and alerts of others are built on these names and labels.
FAMILIES = {
    "build_info": ("gauge", {"version", "python"}),
    "workers": ("gauge", set()),
    "requests": ("counter", {"method", "code"}),
    "errors": ("counter", {"code"}),
    "request_duration_seconds": ("histogram", {"code_class"}),
    "upstream_ttfb_seconds": ("histogram", {"code_class"}),
    "overhead_seconds": ("histogram", set()),
    "requests_in_flight": ("gauge", set()),
    "requests_waiting_for_token": ("gauge", set()),
    "requests_queued": ("gauge", set()),
    "request_body_bytes": ("counter", set()),
    "response_body_bytes": ("counter", set()),
    "upstream_connections": ("gauge", {"state"}),
    "token_expiry_timestamp_seconds": ("gauge", set()),
    "token_next_refresh_timestamp_seconds": ("gauge", set()),
    "token_consecutive_failures": ("gauge", set()),
    "token_refreshes": ("counter", {"result"}),
    "token_refresh_duration_seconds": ("histogram", set()),
    "upstream_401_replays": ("counter", {"result"}),
    "config_last_reload_successful": ("gauge", set()),
    "config_last_reload_success_timestamp_seconds": ("gauge", set()),
}


def exposed(counts: Counts) -> str:
    """Return the text that a scrape gets."""
    body, _ = Exposition(counts, readings, version="1.2.3").write("")
    return body.decode()


def samples(text: str, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of ``bearer_proxy_`` *name* by their labels' values."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == f"bearer_proxy_{name}"
    }


def test_the_families_are_those_promised() -> None:
    """
    Names, kinds and labels, no more and no less.
    """
    counts = Counts()
    counts.add([request()])
    found = {
        family.name.removeprefix("bearer_proxy_"): (
            family.type,
            {label for sample in family.samples for label in sample.labels} - {"le"},
        )
        for family in text_string_to_metric_families(exposed(counts))
        if family.name.startswith("bearer_proxy_")
    }
    assert found == FAMILIES


def test_nothing_is_said_of_when_a_series_was_created() -> None:
    """
    ``*_created`` doubles the number of series and tells nobody anything.
    """
    counts = Counts()
    counts.add([request()])
    assert "_created" not in exposed(counts)
    body, kind = Exposition(counts, readings, version="1").write("application/openmetrics-text")
    assert b"_created" not in body
    assert kind.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_numbers_arrive() -> None:
    """
    Requests, bytes and times as they were counted; errors that never happened are 0.
    """
    counts = Counts()
    counts.add([request(duration=0.02)])
    counts.add([request(status=503, error="token_pending", first_byte=None, sent=None)])
    text = exposed(counts)
    assert samples(text, "requests_total") == {("200", "GET"): 1, ("503", "GET"): 1}
    errors = samples(text, "errors_total")
    assert errors[("token_pending",)] == 1
    assert errors[("upstream_timeout",)] == 0
    assert samples(text, "response_body_bytes_total") == {(): 3000}
    assert samples(text, "request_duration_seconds_count") == {("2xx",): 1, ("5xx",): 1}
    assert samples(text, "overhead_seconds_count") == {(): 1}
    assert samples(text, "build_info")
    assert samples(text, "upstream_401_replays_total") == {
        ("failed",): 0,
        ("ok",): 0,
        ("refused",): 0,
    }


@pytest.mark.parametrize(
    ("status", "label"), [(200, "200"), (599, "5xx"), (499, "499"), (0, "0xx")]
)
def test_an_invented_status_makes_no_series_of_its_own(status: int, label: str) -> None:
    """
    What HTTP knows is told exactly, anything else by its class.
    """
    counts = Counts()
    counts.add([request(status=status)])
    assert samples(exposed(counts), "requests_total") == {(label, "GET"): 1}


def test_no_path_host_or_query_is_exposed() -> None:
    """
    Neither as a label nor anywhere.
    """
    counts = Counts()
    counts.add([request(target=b"/customers/42?secret=1", method=b"/customers/43")])
    assert "customers" not in exposed(counts)
    assert "secret=1" not in exposed(counts)


def test_prometheus_client_is_not_imported_until_somebody_scrapes() -> None:
    """
    Most proxies on a laptop are never scraped.
    """
    script = (
        "import sys; import proxy.metrics as m; e = m.Exposition(m.Counts(), lambda: 0, version='')"
        "; assert 'prometheus_client' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
