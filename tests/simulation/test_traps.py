"""What went wrong elsewhere, each with the promise that it does not here."""

from itertools import pairwise

import pytest

from proxy.tokens import Failure, Kind, State
from proxy.tokens.answer import Answer, read
from tests.each import each
from tests.simulation.world import World
from tests.tokens.fakes import config

pytestmark = pytest.mark.usefixtures("silence")


def world(*, lives: float = 60.0) -> World:
    world = World(seed=7, lives=lives, latency=0.01, uptime=0.0)
    world.settle()
    world.advance(0.1)
    return world


def test_an_expired_token_is_never_sent() -> None:
    """
    Envoy #44674 went on injecting one. Here a request is refused instead, whether time passed or
    the machine slept.
    """
    for pass_by in (World.advance, World.sleep):
        after = world()
        after.issuer.fault = Kind.UNREACHABLE
        after.disturb()
        pass_by(after, 60)
        assert after.cache.current() is None
        after.request()
        assert after.outcomes["sent"] == 0


def test_failures_space_out_instead_of_repeating_every_two_seconds() -> None:
    """
    Envoy's injector retries any failure every 2 s for ever, 1,800 times an hour. Here an hour
    of failures costs at most ten calls in any ten minutes, and the pauses differ.
    """
    away = world()
    away.issuer.fault = Kind.UNAVAILABLE
    away.disturb()
    away.advance(4 * 3600)
    failed = away.calls[1:]
    assert 120 <= len(failed) <= 241
    apart = [after - before for before, after in zip(failed, failed[10:], strict=False)]
    assert min(apart) >= 599.999
    pauses = {round(after - before, 3) for before, after in pairwise(failed)}
    assert len(pauses) > 50


def test_the_request_in_hand_survives_a_failing_refresh() -> None:
    """
    Vault re-authenticates and fails the request that noticed. Here it is sent with what is usable,
    and one that finds nothing waits for the call under way.
    """
    busy = world()
    busy.issuer.fault = Kind.TIMEOUT
    busy.advance(49)
    assert busy.lifecycle.consecutive_failures > 0
    busy.request()
    assert busy.outcomes == {"sent": 1, "passed_on": 0, "refused": 0}
    first = World(seed=7, lives=60, latency=2.0, uptime=0.0)
    first.settle()
    first.request()
    first.advance(2.0)
    assert first.outcomes == {"sent": 1, "passed_on": 0, "refused": 0}


def test_a_forced_refresh_forces() -> None:
    """
    agent-vault's "force refresh" hands out what it has. Here the issuer is asked though the token
    has most of its life before it, and the refused one is gone.
    """
    forced = world(lives=3600)
    forced.revoked = set(forced.issued)
    forced.request()
    forced.advance(1)
    current = forced.cache.current()
    assert len(forced.calls) == 2
    assert current is not None
    assert current.token not in forced.revoked
    assert forced.outcomes == {"sent": 2, "passed_on": 0, "refused": 0}


@each("body", [b"", b"  \n", b"null", b"{}", b'{"access_token": ""}'])
def test_an_empty_200_is_a_failure(body: bytes) -> None:
    """
    Envoy #42009 took an empty 200 for a token, and sent "Bearer " with nothing behind it.
    """
    answer = Answer(200, body, sent_at=0.0, sent_wall=0.0, received_wall=0.0)
    result = read(answer, config=config("https://issuer.test"))
    assert isinstance(result, Failure)
    assert result.kind is Kind.BAD_RESPONSE


@each("lives", [1.0, 2.0, 10.0, 60.0])
def test_a_token_shorter_than_any_fixed_margin_is_no_loop(lives: float) -> None:
    """
    With a margin of fixed length such a token is expired at birth: golang/oauth2 #249, #623. Here
    each serves for three quarters of its life at least, and there is always one.
    """
    short = world(lives=lives)
    short.advance(50 * lives)
    assert len(short.calls) <= 1 + 50 / 0.75
    assert short.cache.current() is not None


def test_a_wrong_secret_is_not_retried_for_ever() -> None:
    """
    cloudfoundry/cf-java-client #1026 did, and such clients get accounts locked. Here half a day
    with a wrong secret costs the first call and then a probe an hour.
    """
    wrong = world()
    wrong.issuer.secret = "B"
    wrong.disturb()
    wrong.advance(12 * 3600)
    rejected = wrong.calls[1:]
    assert 10 <= len(rejected) <= 17
    assert min(after - before for before, after in pairwise(rejected)) >= 300
    assert wrong.lifecycle.state(wrong.now()) is State.LATCHED


def test_the_new_credential_opens_the_latch() -> None:
    """
    In cortexkit/anthropic-auth #195 the latch outlived the credential that had closed it.
    """
    wrong = world()
    wrong.issuer.secret = "B"
    wrong.disturb()
    wrong.advance(3_600)
    calls = len(wrong.calls)
    wrong.put_secret("B")
    wrong.advance(5.1)
    assert len(wrong.calls) == calls + 1
    assert wrong.cache.current() is not None


def test_fresh_tokens_refused_in_a_row_are_not_a_loop_of_issuances() -> None:
    """
    An upstream that refuses everything gets its 401s passed on; the issuer is asked a few times a
    minute at most, whatever the rate of requests.
    """
    flapping = world(lives=3600)
    flapping.upstream_accepts = False
    for _ in range(1_000):
        flapping.request()
        flapping.advance(0.5)
    assert 3 <= len(flapping.calls) <= 3 + 500 / 60
    assert flapping.outcomes["passed_on"] == 1_000
    assert flapping.outcomes["refused"] == 0


def test_a_token_ages_while_the_machine_sleeps() -> None:
    """
    On a clock that stands still in sleep, a laptop opened in the morning sends yesterday's token.
    """
    asleep = world(lives=8 * 3600)
    asleep.sleep(12 * 3600)
    assert asleep.cache.current() is None
    asleep.request()
    asleep.advance(0.1)
    assert asleep.outcomes == {"sent": 1, "passed_on": 0, "refused": 0}
