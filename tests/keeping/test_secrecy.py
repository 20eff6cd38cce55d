"""Neither secret nor token is shown, whatever an issuer says and however it spells it."""

import traceback

from proxy.tokens import Tokens
from tests.keeping.issuer import ScriptedIssuer, attempted, keeping, says, token_of
from tests.tokens.echoes import ECHOES, SECRET, TOKEN, shown_forms
from tests.tokens.fakes import Clock, FixedSecret, config, logged


async def test_an_issuer_that_echoes_gives_nothing_away(
    issuer: ScriptedIssuer, clock: Clock
) -> None:
    """
    Logs, snapshot, errors and representations hold neither the secret nor a token, whatever the
    issuer quotes in an answer of whatever status.
    """
    issuer.say = says(200, {"access_token": TOKEN, "expires_in": 7200})
    shown: list[str] = []
    count = 1
    with logged() as lines:
        async with keeping(issuer, clock=clock, secret=FixedSecret(SECRET)) as tokens:
            await token_of(tokens)
            for status in (200, 400, 429, 503):
                for how, echo in ECHOES.items():
                    said = f"{echo(SECRET)} {echo(TOKEN)}"
                    issuer.say = says(
                        status, {"success": False, "message": said, "access_token": TOKEN}
                    )
                    clock.advance(700)
                    tokens.refresh_now()
                    count += 1
                    await attempted(tokens, count)
                    shortage = tokens.cache.shortage()
                    shown += [how, repr(tokens.snapshot()), shortage.detail, shortage.hint]
            shown += [repr(tokens.cache.current()), repr(vars(tokens))]
    shown += [repr(line) for line in lines]
    everything = "\n".join(shown)
    assert len(lines) > 50
    assert "[redacted]" in everything
    for secret in (SECRET, TOKEN):
        assert shown_forms(everything, secret) == []


async def test_a_failing_exchange_has_no_secret_in_its_traceback() -> None:
    """
    Not even a defect of ours, while the secret is at hand, writes it down: no exception's text.
    """

    class Broken(FixedSecret):
        def read(self) -> str:
            raise ValueError(SECRET)

    source = Tokens(config("http://127.0.0.1:1/"), Broken())
    exchange = await source.exchange_once()
    assert SECRET not in repr(exchange)
    assert "ValueError" in repr(exchange)
    assert SECRET not in "".join(traceback.format_stack())
