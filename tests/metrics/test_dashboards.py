"""What is shipped for Prometheus and Grafana speaks of metrics that exist."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.errors import KINDS
from proxy.metrics import Counts, Exposition
from tests.admin.fakes import readings
from tests.metrics.facts import request
from tests.programs import needs

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yaml"
DASHBOARD = DEPLOY / "grafana" / "bearer-proxy.json"


def exposed() -> dict[str, set[str]]:
    """Return the names of the samples that a scrape has, with their labels."""
    counts = Counts()
    counts.add([request()])
    body, _ = Exposition(counts, readings, version="1.2.3").write("")
    names: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            names.setdefault(sample.name, set()).update(sample.labels)
    return names


def panels() -> list[dict[str, Any]]:
    """Return the dashboard's panels."""
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def queries() -> Iterator[str]:
    """Yield every query of the dashboard."""
    for panel in panels():
        yield from (target["expr"] for target in panel["targets"])


def names_in(text: str) -> set[str]:
    """Return the metrics that *text* speaks of."""
    return set(re.findall(r"\bbearer_proxy_\w+", text))


@pytest.mark.parametrize("file", [ALERTS, DASHBOARD], ids=lambda file: file.name)
def test_every_metric_named_exists(file: Path) -> None:
    """
    A renamed metric must not silence an alert or empty a panel.
    """
    named = names_in(file.read_text())
    assert named
    assert named <= exposed().keys()


def test_every_label_used_exists() -> None:
    """
    A query that groups or selects by a label finds it; job and instance are Prometheus' own.
    """
    known = exposed()
    for query in [
        *queries(),
        *re.findall(r"expr:(?: \|)?((?:.|\n)*?)\n +for:", ALERTS.read_text()),
    ]:
        labels = {"job", "instance", "le"}.union(*(known[name] for name in names_in(query)))
        used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", query))
        for grouped in re.findall(r"by \(([\w, ]+)\)", query):
            used |= {name.strip() for name in grouped.split(",")}
        assert used <= labels, query


def test_every_family_is_on_the_dashboard() -> None:
    """
    What is worth counting is worth seeing; when the configuration was read is told by a reload.
    """
    shown = set().union(*map(names_in, queries()))
    stems = {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown}
    expected = {
        re.sub(r"_(bucket|count|sum)$", "", name)
        for name in exposed()
        if name.startswith("bearer_proxy_")
    }
    assert expected - stems == {"bearer_proxy_config_last_reload_success_timestamp_seconds"}


def test_the_share_of_own_errors_counts_what_operators_can_mend() -> None:
    """
    Every code is either the client's affair, and named as such, or counts.
    """
    pattern = re.search(r'code!~"([^"]+)"', ALERTS.read_text())
    assert pattern is not None
    ignored = {code for code in (*KINDS, "client_closed") if re.fullmatch(pattern[1], code)}
    mine = {code for code, kind in KINDS.items() if kind.side == "downstream"}
    assert ignored == {*mine, "client_closed", "draining"}


def test_panels_do_not_overlap() -> None:
    """
    24 columns, each cell at most once; every panel has a title and an id of its own.
    """
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken
        assert panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in panels()}) == len(panels())


@needs("promtool")
def test_prometheus_accepts_the_rules() -> None:
    """
    promtool reads them without complaint.
    """
    subprocess.run(["promtool", "check", "rules", str(ALERTS)], check=True, timeout=30)
