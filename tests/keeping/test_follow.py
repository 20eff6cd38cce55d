"""Another configuration while tokens are kept: who asks, who is asked, what is served meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from proxy.tokens import NoToken, State
from tests.keeping.issuer import ScriptedIssuer, keeping, says, text, token_of, until
from tests.tokens.fakes import Clock, FixedSecret, config

REJECTS = says(401, {"error": "invalid_client"})
LIMITS = says(429, {"error": "slow_down"}, **{"Retry-After": "200"})


@pytest.fixture
async def another() -> AsyncIterator[ScriptedIssuer]:
    """The issuer of the second configuration."""
    async with ScriptedIssuer().serving() as issuer:
        issuer.say = says(200, {"access_token": "theirs", "expires_in": 600})
        yield issuer


async def test_the_token_in_use_serves_until_the_new_one_is_there(issuer: ScriptedIssuer) -> None:
    """
    Another client id is asked for at once, and no request is without a token meanwhile.
    """
    secret = FixedSecret()
    async with keeping(issuer, secret=secret) as tokens:
        assert await token_of(tokens) == "token-1"
        issuer.takes = 0.05
        cache = tokens.cache
        await tokens.follow(replace(config(issuer.url), client_id="other"), secret)
        assert tokens.cache is cache
        served = set()
        cancel = tokens.on_change(lambda: served.add(cache.current()))
        await until(tokens, lambda: len(issuer.calls) == 2 and not tokens.snapshot().fetching)
        cancel()
        assert await token_of(tokens) == "token-2"
        assert None not in served
    assert text(issuer.calls[1]) == {"client_id": "other", "client_secret": secret.read()}


async def test_the_same_client_is_not_asked_for_again(issuer: ScriptedIssuer, clock: Clock) -> None:
    """
    A time-out of another length is no reason for another token.
    """
    secret = FixedSecret()
    async with keeping(issuer, secret=secret, clock=clock) as tokens:
        await token_of(tokens)
        await tokens.follow(config(issuer.url, timeout_seconds=3), secret)
        await tokens.follow(config(issuer.url, timeout_seconds=4), secret)
        assert tokens.refresh_now()
        await until(tokens, lambda: len(issuer.calls) == 2)
        assert await token_of(tokens)
    assert len(issuer.calls) == 2


async def test_a_rejected_successor_costs_nobody_the_token_in_use(issuer: ScriptedIssuer) -> None:
    """
    It serves to its end, and what is wrong shows.
    """
    async with keeping(issuer) as tokens:
        await token_of(tokens)
        issuer.say = REJECTS
        await tokens.follow(config(issuer.url), FixedSecret("wrong"))
        await until(tokens, lambda: tokens.snapshot().state is State.LATCHED)
        assert await token_of(tokens) == "token-1"


async def test_who_waits_gets_the_token_of_the_configuration_that_works(
    issuer: ScriptedIssuer,
) -> None:
    """
    A request parked under wrong credentials goes on with the right ones.
    """
    issuer.say = REJECTS
    async with keeping(issuer, secret=FixedSecret("wrong")) as tokens:
        await until(tokens, lambda: tokens.snapshot().state is State.LATCHED)
        waiting = asyncio.create_task(token_of(tokens))
        issuer.say = says(200, {"access_token": "right", "expires_in": 600})
        await tokens.follow(config(issuer.url), FixedSecret())
        assert await waiting == "right"


async def test_an_issuer_s_wish_to_be_left_alone_is_not_another_s(
    issuer: ScriptedIssuer, another: ScriptedIssuer
) -> None:
    """
    Retry-After stands against the one who said it, through any number of reloads.
    """
    issuer.say = LIMITS
    async with keeping(issuer) as tokens:
        await until(tokens, lambda: tokens.snapshot().state is State.FAILING)
        await tokens.follow(config(issuer.url), FixedSecret("another"))
        await asyncio.sleep(0.05)  # nothing shows that somebody is not asked
        assert len(issuer.calls) == 1
        await tokens.follow(config(another.url), FixedSecret("another"))
        assert await token_of(tokens) == "theirs"
    assert len(issuer.calls) == 1


# Apart.


async def test_apart_the_former_token_stays_in_the_former_cache(
    issuer: ScriptedIssuer, another: ScriptedIssuer
) -> None:
    """
    Each cache has the tokens of its own configuration; the watchers are told of both.
    """
    async with keeping(issuer) as tokens:
        await token_of(tokens)
        former = tokens.cache
        told: list[str | None] = []
        tokens.on_change(lambda: told.append(tokens.snapshot().fingerprint))
        await tokens.follow(config(another.url), FixedSecret(), apart=True)
        held = tokens.cache.current()
        assert held is not None
        assert held.token == "theirs"
        assert told[-1] == held.fingerprint
        before = former.current()
        assert before is not None
        assert before.token == "token-1"
        assert tokens.snapshot().counts["ok"] == 2
        assert [each.result for each in tokens.snapshot().outcomes] == ["ok", "ok"]
        former.end()
        assert former.current() == before
        assert not former.refused(before)
        assert former.current() == before
    assert len(another.calls) == 1


async def test_apart_a_usable_token_is_not_given_up_for_none(
    issuer: ScriptedIssuer, another: ScriptedIssuer
) -> None:
    """
    Whoever is asked first and refuses changes nothing.
    """
    another.say = REJECTS
    async with keeping(issuer) as tokens:
        await token_of(tokens)
        former = tokens.cache
        with pytest.raises(NoToken, match="answered 401"):
            await tokens.follow(config(another.url), FixedSecret(), apart=True)
        assert tokens.cache is former
        assert await token_of(tokens) == "token-1"
        assert tokens.snapshot().state is State.READY
        assert tokens.refresh_now()
        await until(tokens, lambda: len(issuer.calls) == 2)


async def test_apart_nothing_is_waited_for_where_nothing_is_lost(
    issuer: ScriptedIssuer, another: ScriptedIssuer
) -> None:
    """
    Without a usable token the change is made at once, and whoever waits is let go.
    """
    issuer.say = REJECTS
    async with keeping(issuer) as tokens:
        await until(tokens, lambda: tokens.snapshot().state is State.LATCHED)
        former = tokens.cache
        await tokens.follow(config(another.url), FixedSecret(), apart=True)
        assert tokens.cache.current() is None
        assert tokens.cache.worth_waiting(1)
        told = asyncio.Event()
        former.on_change(told.set)
        former.end()
        assert told.is_set()
        assert not former.worth_waiting(1)
        assert former.shortage().retry_after == 1
        assert await token_of(tokens) == "theirs"
