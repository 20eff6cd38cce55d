"""Tokens kept over real sockets: callers, failures, recovery, secrets, and an end."""

import asyncio

import pytest
from aiohttp import web

from proxy.tokens import Failure, State, Tokens
from tests.keeping.issuer import (
    Call,
    ScriptedIssuer,
    attempted,
    keeping,
    says,
    text,
    token_answer,
    token_of,
    until,
)
from tests.tokens.fakes import Clock, FixedSecret, config, logged

REJECTS = says(401, {"error": "invalid_client", "error_description": "wrong secret"})


async def test_a_thousand_waiters_cause_one_issuance(issuer: ScriptedIssuer) -> None:
    """
    However many requests come before the first token, one call brings it to all of them.
    """
    issuer.takes = 0.05
    async with keeping(issuer) as tokens:
        got = await asyncio.gather(*(token_of(tokens) for _ in range(1_000)))
    assert set(got) == {"token-1"}
    assert len(issuer.calls) == issuer.most_in_flight == 1


async def test_a_first_caller_that_gives_up_cancels_nobody_elses_token(
    issuer: ScriptedIssuer,
) -> None:
    """
    The exchange belongs to no caller: the first one's cancellation ends its own wait alone.
    """
    issuer.takes = 0.05
    async with keeping(issuer) as tokens:
        first = asyncio.create_task(token_of(tokens))
        await until(tokens, lambda: len(issuer.calls) == 1 or tokens.snapshot().fetching)
        second = asyncio.create_task(token_of(tokens))
        first.cancel()
        assert await second == "token-1"
        assert first.cancelled()
    assert len(issuer.calls) == 1


async def test_a_refused_token_is_replaced_by_one_call(issuer: ScriptedIssuer) -> None:
    """
    Hundreds of requests that were refused with one token share the one call for the next.
    """
    async with keeping(issuer) as tokens:
        await token_of(tokens)
        refused = tokens.cache.current()
        assert refused is not None
        assert all(tokens.cache.refused(refused) for _ in range(300))
        assert tokens.cache.current() is None
        assert set(await asyncio.gather(*(token_of(tokens) for _ in range(300)))) == {"token-2"}
        # Who learns late that it was refused is told of the new one, and costs nothing.
        assert tokens.cache.refused(refused)
        assert await token_of(tokens) == "token-2"
    assert len(issuer.calls) == 2
    assert issuer.most_in_flight == 1


async def test_a_refusal_during_a_refresh_shares_it(issuer: ScriptedIssuer) -> None:
    """
    A token refused while its successor is being asked for needs no further call.
    """
    issuer.takes = 0.05
    async with keeping(issuer) as tokens:
        await token_of(tokens)
        refused = tokens.cache.current()
        assert refused is not None
        assert tokens.refresh_now()
        await until(tokens, lambda: tokens.snapshot().fetching)
        assert tokens.cache.refused(refused)
        assert await token_of(tokens) == "token-2"
    assert len(issuer.calls) == 2


async def test_the_issuer_standing_by_a_refused_token_ends_the_wait(
    issuer: ScriptedIssuer,
) -> None:
    """
    Handed the same token again, a waiter learns that to replay is pointless: what is current
    equals what was refused. And for a while nothing more is forced.
    """
    issuer.say = says(200, {"access_token": "always-me", "expires_in": 3600})
    async with keeping(issuer) as tokens:
        await token_of(tokens)
        refused = tokens.cache.current()
        assert refused is not None
        assert tokens.cache.refused(refused)
        assert await token_of(tokens) == "always-me"
        assert tokens.cache.current() == refused
        assert not tokens.cache.refused(refused)
        assert tokens.snapshot().state is State.FLAPPING
    assert len(issuer.calls) == 2


async def test_an_outage_longer_than_the_tokens_life_heals_without_a_restart(
    issuer: ScriptedIssuer, clock: Clock
) -> None:
    """
    The token serves to its end, then requests get a 503 with a falling Retry-After; the issuer's
    return is noticed by the next announced try.
    """
    issuer.lives = 60
    async with keeping(issuer, clock=clock, uniform=max) as tokens:
        await token_of(tokens)
        issuer.say = issuer.down
        clock.advance(50)
        assert tokens.cache.worth_waiting(5)  # a look at the schedule
        await attempted(tokens, 2)
        assert tokens.cache.current() is not None
        for attempts in (3, 4, 5):
            clock.advance(tokens.snapshot().next_try_in)
            assert tokens.cache.worth_waiting(5)
            await attempted(tokens, attempts)
        assert tokens.cache.current() is None
        announced = [tokens.cache.shortage()]
        clock.advance(2)
        announced.append(tokens.cache.shortage())
        assert [each.code for each in announced] == ["issuer_unreachable"] * 2
        assert [each.status for each in announced] == [503] * 2
        first, second = (each.retry_after or 0 for each in announced)
        assert (first, second) == (8, 6)
        issuer.say = issuer.issue
        clock.advance(second)
        assert tokens.cache.worth_waiting(5)
        assert await token_of(tokens) == "token-6"
        assert tokens.snapshot().state is State.READY
        assert tokens.snapshot().consecutive_failures == 0


@pytest.mark.parametrize("how", ["its file is looked at", "SIGHUP"])
async def test_a_rejected_secret_is_not_tried_again_and_a_new_one_is(
    issuer: ScriptedIssuer, clock: Clock, how: str
) -> None:
    """
    Latched: no call at all, not in hours of requests. A changed secret opens the latch within a
    beat of five seconds, a SIGHUP at once. (cloudfoundry/cf-java-client #1026 retried for ever;
    cortexkit/anthropic-auth #195 stayed latched.)
    """
    secret = FixedSecret("wrong")
    issuer.say = REJECTS
    async with keeping(issuer, clock=clock, secret=secret) as tokens:
        await attempted(tokens, 1)
        assert tokens.snapshot().state is State.LATCHED
        for _ in range(50):
            assert not tokens.cache.worth_waiting(5)
            assert tokens.cache.shortage().code == "credentials_rejected"
            assert not tokens.refresh_now()
            await asyncio.sleep(0)
        assert len(issuer.calls) == 1
        secret.value = "right"
        issuer.say = issuer.issue
        if how == "SIGHUP":
            tokens.look_now()
        else:
            clock.advance(5)
            assert not tokens.refresh_now()  # held off; but the refresher looks up
        assert await token_of(tokens) == "token-2"
    assert text(issuer.calls[1]) == {"client_id": "acme", "client_secret": "right"}


async def test_a_latch_opens_when_the_issuer_changes_its_mind(
    issuer: ScriptedIssuer, clock: Clock
) -> None:
    """
    A slow probe finds out that the same credential is accepted again, without a restart.
    """
    issuer.say = REJECTS
    async with keeping(issuer, clock=clock) as tokens:
        await attempted(tokens, 1)
        assert tokens.snapshot().next_try_in == pytest.approx(300)
        issuer.say = issuer.issue
        clock.advance(300)
        assert tokens.cache.worth_waiting(0)
        assert await token_of(tokens) == "token-2"


async def test_a_usable_token_is_served_while_latched(issuer: ScriptedIssuer, clock: Clock) -> None:
    """
    What the issuer thinks of the secret does not concern a token that still lives.
    """
    async with keeping(issuer, clock=clock) as tokens:
        await token_of(tokens)
        issuer.say = REJECTS
        assert tokens.refresh_now()
        await attempted(tokens, 2)
        assert tokens.snapshot().state is State.LATCHED
        assert await token_of(tokens) == "token-1"
        refused = tokens.cache.current()
        assert refused is not None
        # Nor is it taken away for one 401: there is no other to be had.
        assert not tokens.cache.refused(refused)
        assert await token_of(tokens) == "token-1"
    assert len(issuer.calls) == 2


async def test_a_429_says_when_to_come_back(issuer: ScriptedIssuer, clock: Clock) -> None:
    """
    Retry-After is what the local caller is told, and before it nothing is sent.
    """
    issuer.say = says(429, {"message": "slow down"}, Retry_After="42")
    async with keeping(issuer, clock=clock) as tokens:
        await attempted(tokens, 1)
        shortage = tokens.cache.shortage()
        assert (shortage.code, shortage.retry_after) == ("issuer_rate_limited", 42)
        clock.advance(41)
        assert not tokens.refresh_now()
        assert len(issuer.calls) == 1
        issuer.say = issuer.issue
        clock.advance(1)
        assert tokens.cache.worth_waiting(0)
        assert await token_of(tokens) == "token-2"


async def test_one_line_a_change_of_state(issuer: ScriptedIssuer, clock: Clock) -> None:
    """
    Begin, trouble, the same trouble again, another trouble, recovery: four lines, with causes.
    """
    down = says(503, {"message": "down for <b>maintenance</b>\x1b[31m"})
    with logged() as lines:
        async with keeping(issuer, clock=clock) as tokens:
            await token_of(tokens)
            for count, say in enumerate([down, down, down, REJECTS], start=2):
                issuer.say = say
                clock.advance(max(tokens.snapshot().next_try_in, 0))
                tokens.refresh_now()
                await attempted(tokens, count)
            issuer.say = issuer.issue
            clock.advance(tokens.snapshot().next_try_in)
            tokens.refresh_now()
            await attempted(tokens, 6)
    told = [line for line in lines if line["log_level"] != "debug"]
    assert [(line["event"], line["log_level"]) for line in told] == [
        ("token.refreshed", "info"),
        ("token.refresh_failed", "warning"),
        ("token.latched", "error"),
        ("token.recovered", "info"),
    ]
    assert told[1]["cause"] == "answered 503"
    assert told[1]["message"] == "down for <b>maintenance</b> [31m"
    assert told[2]["message"] == "wrong secret"


async def test_stop_ends_an_exchange_under_way(issuer: ScriptedIssuer) -> None:
    """
    Nobody waits for a slow issuer in order to stop, and stopping twice is no mistake.
    """
    issuer.takes = 60
    async with keeping(issuer) as tokens:
        await until(tokens, lambda: tokens.snapshot().fetching)
        with pytest.raises(RuntimeError, match="started already"):
            await tokens.start()
        await tokens.stop()
        assert not tokens.snapshot().fetching
        await tokens.stop()


async def test_stopped_tokens_can_be_started_again(issuer: ScriptedIssuer) -> None:
    """
    What is held outlives a stop, and a start asks no issuer for what is held.
    """
    async with keeping(issuer) as tokens:
        await token_of(tokens)
        await tokens.stop()
        await tokens.start()
        assert await token_of(tokens) == "token-1"
    assert len(issuer.calls) == 1


async def test_asking_once_keeps_nothing(issuer: ScriptedIssuer) -> None:
    """
    ``check --online`` learns what an exchange is like and leaves no token behind.
    """
    tokens = Tokens(config(issuer.url), FixedSecret())
    assert not isinstance((await tokens.exchange_once()).result, Failure)
    assert tokens.cache.current() is None
    await tokens.start()
    with pytest.raises(RuntimeError, match="by itself"):
        await tokens.exchange_once()
    await tokens.stop()


async def test_a_broken_watcher_costs_the_others_nothing(issuer: ScriptedIssuer) -> None:
    """
    One request's trouble in its wake-up is logged, and everyone else is woken.
    """

    def broken() -> None:
        raise LookupError

    with logged() as lines:
        async with keeping(issuer) as tokens:
            cancel = tokens.cache.on_change(broken)
            assert await token_of(tokens) == "token-1"
            cancel()
    assert {"task.callback_failed"} == {
        line["event"] for line in lines if line["log_level"] == "error"
    }


async def test_a_token_for_every_life(issuer: ScriptedIssuer) -> None:
    """
    A token of one second is replaced in time, over and over, and nobody is ever without.
    """
    issuer.lives = 1
    async with keeping(issuer) as tokens:
        await token_of(tokens)
        missed = 0
        while len(issuer.calls) < 3:
            missed += tokens.cache.current() is None
            await asyncio.sleep(0.01)
    assert missed == 0


async def test_an_issuer_that_states_no_life_gets_the_configured_one(
    issuer: ScriptedIssuer,
) -> None:
    """
    Without expires_in and without a JWT, a token counts as living for the configured time.
    """

    async def silent(_: Call) -> web.StreamResponse:
        answer = token_answer("opaque", expires_in=None)
        answer.headers["Date"] = "nonsense"
        return answer

    issuer.say = silent
    async with keeping(issuer, default_lifetime_seconds=77) as tokens:
        await token_of(tokens)
        snapshot = tokens.snapshot()
    assert snapshot.lifetime == pytest.approx(77)
    assert snapshot.lifetime_source == "default"
