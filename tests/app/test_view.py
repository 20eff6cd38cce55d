"""The verdict and the cards, from the parts that a running proxy has."""

import time
from dataclasses import replace
from typing import Any

import pytest

from proxy.admin.console import Refusal
from proxy.admin.view import Level, Verdict
from proxy.app import compose
from proxy.app.console import AppConsole
from proxy.app.journal import Journal
from proxy.app.view import Viewer
from proxy.app.vitals import AppVitals, RefreshWatch, Reload, readings
from proxy.dataplane import Plane, Pool, Route
from proxy.dataplane.pool import Seen
from proxy.errors import ProxyError
from proxy.log import protect
from proxy.metrics import Counts, Recent, Traffic
from proxy.metrics.buckets import total
from proxy.settings.load import Loaded, load
from proxy.tokens import Outcome, Snapshot, State, Tokens
from tests.metrics.facts import request

NOW = 1_800_000_000.0
LISTEN = ("127.0.0.1:8080",)
HEALTHY = Snapshot(
    taken_at=NOW,
    state=State.READY,
    usable=True,
    code="",
    cause=None,
    fetching=False,
    age=10.0,
    expires_in=3590.0,
    usable_for=3580.0,
    lifetime=3600.0,
    lifetime_source="expires_in",
    clock_skew=0.0,
    fingerprint="0a1b2c3d",
    issued_at=NOW - 10,
    expires_at=NOW + 3590,
    next_try_in=2400.0,
    next_try_at=NOW + 2400,
    consecutive_failures=0,
    flapping_for=0.0,
    outcomes=(Outcome(NOW - 10, "ok", "", "", 0.25),),
    counts={"ok": 1, "rejected": 0},
    issuances=1,
    adoptions=0,
    refusals=0,
)
FAILING = replace(
    HEALTHY,
    state=State.FAILING,
    usable=False,
    cause="answered 429",
    next_try_at=NOW + 23,
    next_try_in=23.0,
    consecutive_failures=4,
)


class Scene:
    """The parts of a proxy that has not been started; tests make them what they like."""

    def __init__(self) -> None:
        self.loaded: Loaded = load(
            {},
            {
                "BEARER_PROXY_TOKEN_CLIENT_ID": "acme",
                "BEARER_PROXY_TOKEN_CLIENT_SECRET": "53cr3t-53cr3t",
                "BEARER_PROXY_TOKEN_EXTRA": '{"audience": "private"}',
            },
        )
        settings = self.loaded.settings
        tls = compose.tls_context(settings)
        self.tokens = Tokens(compose.issuer(settings), self.loaded.secret)
        self.pool = Pool(compose.destination(settings, tls))
        self.plane = Plane(
            Route(compose.rules(settings), credentials=self.tokens.cache, pool=self.pool)
        )
        self.counts = Counts()
        self.recent = Recent(100)
        self.reload = Reload(NOW - 60)
        traffic = Traffic(self.counts, now=NOW)
        self.viewer = Viewer(
            lambda: self.loaded, self.plane, self.recent, traffic, self.reload, started_at=NOW
        )

    def verdict(self, snapshot: Snapshot = HEALTHY) -> Verdict:
        """Return what the page would say."""
        return self.viewer.look(snapshot, LISTEN).verdict

    def finished(self, **facts: Any) -> None:
        """Have a request come to its end, just now."""
        _, *rest = request(**facts)
        self.recent.add([(NOW - 1, *rest)])


@pytest.fixture
def scene() -> Scene:
    """A proxy that works."""
    return Scene()


def test_a_working_proxy_says_from_where_to_where_and_as_whom(scene: Scene) -> None:
    """
    The sentence that answers most questions.
    """
    assert scene.verdict() == Verdict(
        Level.OK,
        "Ready. Requests to http://127.0.0.1:8080 reach https://api.railsfromthecrypt.com/v1 as"
        " client acme.",
    )


def test_without_a_token_the_cause_and_the_next_try_are_told(scene: Scene) -> None:
    """
    Not ready, why, and for how long.
    """
    assert scene.verdict(FAILING) == Verdict(
        Level.BAD, "Not ready: the issuer answered 429 (attempt 4).", NOW + 23
    )


def test_before_the_first_answer_it_is_a_start_and_no_failure(scene: Scene) -> None:
    """
    Nothing is wrong yet.
    """
    starting = replace(HEALTHY, state=State.PENDING, usable=False)
    assert scene.verdict(starting).level is Level.WAIT


def test_a_latched_credential_needs_a_person(scene: Scene) -> None:
    """
    The sentence says that waiting does not help.
    """
    verdict = scene.verdict(replace(FAILING, state=State.LATCHED))
    assert verdict.level is Level.BAD
    assert "It is not asked in a loop" in verdict.sentence


def test_a_failing_issuer_is_a_warning_while_the_token_lives(scene: Scene) -> None:
    """
    Requests go through, which comes first.
    """
    verdict = scene.verdict(replace(FAILING, usable=True))
    assert verdict.level is Level.WARN
    assert verdict.sentence.startswith("Ready, but the issuer answered 429")
    assert verdict.next_try_at == NOW + 23


def test_a_refusing_upstream_is_a_warning(scene: Scene) -> None:
    """
    Its 401s are the client's to see, and the page says so.
    """
    assert scene.verdict(replace(HEALTHY, state=State.FLAPPING)).level is Level.WARN


def test_draining_outranks_everything(scene: Scene) -> None:
    """
    Whatever else is wrong, nothing new will begin.
    """
    scene.plane.draining = True
    assert scene.verdict(FAILING).sentence.startswith("Draining")


def test_an_upstream_that_cannot_be_reached_is_told_until_it_can(scene: Scene) -> None:
    """
    With the detail that the client gets; a newer connection ends it, and so does a minute.
    """
    trouble = ProxyError("upstream_unreachable", "It can't be reached (connection refused).")
    scene.pool.last_error = (NOW - 5, trouble)
    verdict = scene.verdict()
    assert verdict.level is Level.BAD
    assert verdict.sentence.endswith(trouble.detail)
    card = scene.viewer.look(HEALTHY, LISTEN).upstream
    assert card.trouble is not None
    assert card.trouble.proxy_status == "connection_refused"
    scene.pool.seen = Seen(NOW - 2, "192.0.2.7:443", "TLSv1.3", NOW + 86_400)
    assert scene.verdict().level is Level.OK
    scene.pool.seen = None
    scene.pool.last_error = (NOW - 61, trouble)
    assert scene.verdict().level is Level.OK


def test_three_failures_in_a_row_are_the_upstreams(scene: Scene) -> None:
    """
    Two may be anybody's; a success in between ends the suspicion.
    """
    failure: dict[str, Any] = {"status": 504, "error": "upstream_timeout"}
    scene.finished(**failure)
    scene.finished(**failure)
    assert scene.verdict().level is Level.OK
    scene.finished(status=500)
    assert scene.verdict().level is Level.WARN
    assert scene.verdict().sentence.endswith("failed at the upstream: status 500.")
    scene.finished()
    assert scene.verdict().level is Level.OK


def test_a_refused_client_is_not_the_upstreams_fault(scene: Scene) -> None:
    """
    Neither what we refuse for lack of a token nor what a client did.
    """
    for code, status in (("token_pending", 503), ("host_not_allowed", 403), ("client_closed", 499)):
        scene.finished(status=status, error=code, side="downstream")
    assert scene.verdict().level is Level.OK


def test_a_listed_request_shows_no_query_and_no_secret(scene: Scene) -> None:
    """
    By the access log's own rules.
    """
    protect("53cr3t-53cr3t")
    scene.finished(target=b"/v1/53cr3t-53cr3t/\x1b?cursor=private", method=b"POST")
    listed = scene.viewer.look(HEALTHY, LISTEN).requests
    assert listed is not None
    assert listed[0].path == "/v1/[redacted]/%1B?…"
    assert "53cr3t" not in repr(scene.viewer.look(HEALTHY, LISTEN))
    assert "private" not in repr(scene.viewer.look(HEALTHY, LISTEN))


def test_every_key_is_shown_with_its_source(scene: Scene) -> None:
    """
    As `config show` has it.
    """
    settings = {
        each.key: each for each in scene.viewer.look(HEALTHY, LISTEN).configuration.settings
    }
    assert settings["token.client_id"].value == "acme"
    assert settings["token.client_id"].source == "env BEARER_PROXY_TOKEN_CLIENT_ID"
    assert settings["limits.head_bytes"].source == "default"


def test_a_refused_reload_shows(scene: Scene) -> None:
    """
    On the page and in the metric, until one succeeds.
    """
    scene.reload.succeeded, scene.reload.problem = False, "config.toml has 1 problem"
    card = scene.viewer.look(HEALTHY, LISTEN).configuration
    assert card.reload_problem == "config.toml has 1 problem"
    assert not readings(scene.plane, HEALTHY, scene.reload).reload_succeeded


def test_each_exchange_is_timed_once(scene: Scene) -> None:
    """
    However often something changes in between.
    """
    seen = replace(HEALTHY)
    watch = RefreshWatch(lambda: seen, lambda each: scene.counts.refreshed(each.duration))
    watch()
    watch()
    assert total(scene.counts.refreshes) == 1
    seen = replace(
        seen,
        counts={"ok": 2, "rejected": 1},
        outcomes=(*seen.outcomes, *(Outcome(NOW, "ok", "", "", 2.0) for _ in range(2))),
    )
    watch()
    assert total(scene.counts.refreshes) == 3
    assert scene.counts.refreshes[-1] == 4.25


def test_a_journal_tells_all_three(scene: Scene) -> None:
    """
    Counts, ring and access log hear the same facts once.
    """
    told: list[tuple[Any, ...]] = []

    class Log:
        def write(self, requests: list[tuple[Any, ...]]) -> None:
            told.extend(requests)

        def flush(self) -> None:
            """Nothing waits here."""

    Journal(scene.counts, scene.recent, Log()).record(*request())
    assert scene.counts.total() == len(scene.recent.newest_first()) == 1
    assert told == [request()]


async def test_actions_that_nobody_can_do_are_refused(scene: Scene) -> None:
    """
    A proxy inside another program does not end it, and reads no file of its own.
    """
    begun: list[str] = []
    console = AppConsole(
        lambda: scene.viewer,
        scene.tokens,
        listen=lambda: list(LISTEN),
        begin_drain=lambda: begun.append("drain"),
    )
    with pytest.raises(Refusal, match="inside another program"):
        console.quit()
    with pytest.raises(Refusal, match="start it anew"):
        await console.reload()
    console.drain()
    console.on_quit = lambda: begun.append("quit")
    console.quit()
    assert begun == ["drain", "quit"]


def test_started_stays_true_and_ready_does_not(scene: Scene) -> None:
    """
    The two questions that platforms confuse.
    """
    snapshot = HEALTHY
    vitals = AppVitals(scene.plane, lambda: snapshot)
    assert not all(check.ok for check in vitals.started())
    vitals.listening = vitals.had_a_token = True
    snapshot = replace(FAILING, taken_at=time.time(), code="issuer_rate_limited")
    assert all(check.ok for check in vitals.started())
    assert not all(check.ok for check in vitals.ready())
    assert all(check.ok for check in vitals.live())
    assert vitals.ready()[0].text == "the issuer answered 429; next try in 23 s"
    assert vitals.ready()[0].code == "issuer_rate_limited"


def test_it_is_not_ready_while_no_worker_serves(scene: Scene) -> None:
    """
    One that is being replaced is nobody's concern, as long as another one serves.
    """
    number = 1
    vitals = AppVitals(scene.plane, lambda: HEALTHY, workers=lambda: number)
    assert all(check.ok for check in vitals.ready())
    assert vitals.ready()[-1].text == "1 serving"
    number = 0
    assert [check.name for check in vitals.ready() if not check.ok] == ["workers"]
    assert all(check.ok for check in vitals.live())
