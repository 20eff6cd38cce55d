"""The benchmark's arithmetic: what a process tree used, and what is compared with what."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import picture, report, targets
from bench.load import LoadError, parse
from bench.measure import tree_cpu_ns
from bench.modes import FIGURES, MODES
from bench.peers import PEERS
from bench.report import ratio
from bench.rounds import Sample

LATEST = Path(__file__).parent.parent / "bench" / "results" / "latest.json"
BURNT_NS = 200_000_000
_BURN = f"import time\nwhile time.process_time_ns() < {BURNT_NS}: pass"
_WAIT = "import sys; print('burnt', flush=True); sys.stdin.read()"


def parent_of(child: str, *, then: str) -> list[str]:
    """Return the command of a process that starts *child* and does *then*, itself nearly idle."""
    start = f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {child!r}])"
    return [sys.executable, "-c", f"{start}\n{then}"]


@pytest.fixture(
    params=[
        pytest.param(parent_of(f"{_BURN}\n{_WAIT}", then="child.wait()"), id="running"),
        pytest.param(parent_of(_BURN, then=f"child.wait()\n{_WAIT}"), id="ended"),
    ]
)
def burnt(request: pytest.FixtureRequest) -> Iterator[int]:
    """A process whose child has used BURNT_NS of processor time, the child running or ended."""
    process = subprocess.Popen(request.param, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"burnt\n"
        yield process.pid


def test_the_cost_of_a_tree_includes_its_children(burnt: int) -> None:
    """
    Work that a child did is in the figure of its parent, to a clock tick.
    """
    tick = 10_000_000
    own = time.clock_gettime_ns((~burnt << 3) | 2)
    assert tree_cpu_ns(burnt) >= own + BURNT_NS - 2 * tick


def test_a_process_that_is_gone_has_no_cost() -> None:
    """
    A proxy that died is an error and not a cheap one.
    """
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    with pytest.raises(ProcessLookupError):
        tree_cpu_ns(process.pid)


def costing(*microseconds: float) -> list[Sample]:
    """Return a sample of one request for each of *microseconds*."""
    return [{"cpu_us": each} for each in microseconds]


def test_a_ratio_is_of_neighbours_in_time() -> None:
    """
    Each round's costs are compared with that round's: a slow one disturbs one ratio of many.
    """
    samples = {"nginx": costing(10, 20, 40), "bearer-proxy": costing(30, 20, 40)}
    found = ratio(samples, "bearer-proxy", to="nginx", figure="cpu_us")
    assert (found.low, found.median, found.high) == pytest.approx((1, 1, 3))


REPORT = (
    'report {"requests":%d,"duration_us":2000000,"refused":%d,"failed":%d,"p50_us":9,"p99_us":99}'
)


def test_a_report_of_successes_is_taken() -> None:
    """
    The load generator's own figures are used, whatever else it prints.
    """
    load = parse(f"Running 2s test\n{REPORT % (10, 0, 0)}\n", complaint="")
    assert (load.requests, load.seconds, load.p50_us, load.p99_us) == (10, 2.0, 9, 99)


@pytest.mark.parametrize("counts", [(10, 1, 0), (10, 0, 1), (0, 0, 0)])
def test_one_answer_without_success_fails_the_run(counts: tuple[int, int, int]) -> None:
    """
    A refusal is cheaper than a request, so figures with refusals in them flatter.
    """
    with pytest.raises(LoadError, match="without success"):
        parse(REPORT % counts, complaint="")


def test_no_report_says_what_the_generator_said() -> None:
    """
    A load generator that could not start explains itself.
    """
    with pytest.raises(LoadError, match="unable to connect"):
        parse("", complaint="unable to connect to 127.0.0.1")


RESULTS = {
    "small-get": {
        "nginx": [{"cpu_us": each} for each in (20.0, 22.0, 40.0)],
        "bearer-proxy": [{"cpu_us": each} for each in (24.0, 33.0, 44.0)],
    },
    "idle": {"bearer-proxy": [{"idle_kib": 3.5, "start_mib": 44.0}]},
    "access-log": {
        "unlogged": [{"cpu_us": each} for each in (25.0, 26.0)],
        "bearer-proxy": [{"cpu_us": each} for each in (28.0, 30.0)],
    },
    "two-workers": {
        "bearer-proxy": [{"cpu_us": each} for each in (30.0, 40.0)],
        "two-workers": [{"cpu_us": each} for each in (33.0, 36.0)],
    },
}


def test_a_target_is_a_ratio_a_difference_or_a_figure() -> None:
    """
    Ratios are of neighbours; what was not measured, or beside nobody, is said to be that.
    """
    rows = targets.markdown(RESULTS).splitlines()
    assert "| small GET, CPU | 1.25 x nginx | 1.20 x nginx | yes |" in rows
    assert "| small GET, CPU | 0.35 x envoy | not measured |  |" in rows
    assert "| access log into a file adds, CPU µs/request | 6 | 3.50 | yes |" in rows
    assert "| an idle connection, KiB (PSS) | 4 | 3.50 | yes |" in rows
    assert "| two workers, CPU | 1.05 x bearer-proxy | 1.00 x bearer-proxy | yes |" in rows


def test_a_target_that_was_missed_stands_out() -> None:
    """
    It is said in bold, whatever the others are.
    """
    dear = {"small-get": {**RESULTS["small-get"], "bearer-proxy": [{"cpu_us": 30.0}] * 3}}
    assert "| 1.36 x nginx | **no** |" in targets.markdown(dear)


def test_the_samples_come_back_out_of_the_document() -> None:
    """
    What was written can be judged again.
    """
    document = json.loads(json.dumps(report.document(RESULTS, seconds=3)))
    assert report.results_in(document) == RESULTS


def test_a_run_says_when_where_and_beside_what_it_was() -> None:
    """
    A figure without its circumstances is no figure.
    """
    said = report.sentence(report.document(RESULTS, seconds=3, load_before=1.5))
    assert "3 rounds" in said
    assert "load average before: 1.5" in said


def test_the_picture_has_a_bar_for_each_proxy_of_each_mode() -> None:
    """
    It is well-formed, has a name for those who don't see it, and the longest bar fits.
    """
    root = ElementTree.fromstring(picture.svg(RESULTS))
    bars = [each for each in root.iter() if each.tag.endswith("rect")]
    assert len(bars) == 7
    assert root.get("aria-label")
    width = float(root.get("width", 0))
    assert all(0 < float(bar.get("width", 0)) < width - float(bar.get("x", 0)) for bar in bars)


def test_a_round_that_went_wrong_hides_no_bar() -> None:
    """
    The scale is the medians': a line of noise ends where the picture does.
    """
    wrong = {"small-get": {"nginx": costing(10, 11, 9000), "bearer-proxy": costing(12, 13, 14)}}
    root = ElementTree.fromstring(picture.svg(wrong))
    assert all(float(each.get("width", 0)) > 300 for each in root.iter() if "rect" in each.tag)
    assert all(float(each.get("x2", 0)) < 600 for each in root.iter() if "line" in each.tag)


def test_every_mode_compares_a_figure_that_has_a_name() -> None:
    """
    Targets and modes speak of figures and proxies that there are.
    """
    assert {mode.figure for mode in MODES.values()} <= set(FIGURES)
    for target in targets.TARGETS:
        assert target.mode in MODES
        assert not target.peer or target.peer in PEERS
        assert not target.figure or target.figure in FIGURES


def test_the_results_name_no_place_on_the_machine_that_measured() -> None:
    """
    Programs are told by their versions, whatever they say of where they lie.
    """
    told = json.loads(LATEST.read_text("utf-8"))["machine"]
    assert [value for value in told.values() if str(value).startswith("/")] == []
