"""The token cache file: ours alone, whole, sealed, and never a reason to fail."""

# ruff: noqa: ASYNC240 - a test's own file of a few bytes blocks nobody
import asyncio
import fcntl
import os
import stat
import sys
from pathlib import Path

import pytest

from proxy.tokens import CacheUnavailable, Tokens
from proxy.tokens.outcome import Grant
from proxy.tokens.seal import seal
from proxy.tokens.store import Store
from tests.keeping.issuer import ScriptedIssuer, token_of
from tests.tokens.fakes import Clock, FixedSecret, config, grant, logged

URL = "https://issuer.test/token"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is, or will be."""
    return tmp_path / "token"


def store_at(path: Path, clock: Clock, *, secret: str = "s3cret", url: str = URL) -> Store:
    return Store(path, config(url), FixedSecret(secret), clock=clock)


async def saved(path: Path, clock: Clock, *, lives: float = 100.0) -> None:
    await store_at(path, clock).save(grant=grant("t0k3n-0f-acme", sent_at=clock.now(), lives=lives))


async def loaded(store: Store) -> tuple[Grant | None, list[str]]:
    """Return what is found, and the reasons of all warnings."""
    with logged() as lines:
        found = await store.load()
    return found.grant, [line["reason"] for line in lines if line["log_level"] == "warning"]


async def test_what_is_saved_is_found(path: Path, clock: Clock) -> None:
    """
    The token and its age survive, on whatever clock the next process has.
    """
    await saved(path, clock)
    later = Clock(now=5.0, wall=clock.wall() + 30)
    found, warnings = await loaded(store_at(path, later))
    assert found is not None
    assert found.token == "t0k3n-0f-acme"
    assert found.sent_at == pytest.approx(5.0 - 30)
    assert found.lifetime.seconds == 100
    assert warnings == []


async def test_the_file_is_for_its_owner_alone(path: Path, clock: Clock) -> None:
    """
    0600 whatever the umask says, and neither token nor client is readable in it.
    """
    before = os.umask(0)
    try:
        await saved(path, clock)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_bytes()
    assert b"t0k3n" not in content
    assert b"acme" not in content


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o666])
async def test_a_file_that_others_can_read_is_refused(path: Path, clock: Clock, mode: int) -> None:
    """
    It is neither read nor written until somebody has put it right.
    """
    await saved(path, clock)
    path.chmod(mode)
    before = path.read_bytes()
    found, warnings = await loaded(store_at(path, clock))
    assert found is None
    assert warnings == ["others can read it: chmod 600 it, or delete it"]
    with logged() as lines:
        await saved(path, clock)
    assert [line["event"] for line in lines] == ["token.cache_file_not_written"]
    assert path.read_bytes() == before
    path.chmod(0o600)
    assert (await loaded(store_at(path, clock)))[0] is not None


async def test_nothing_but_a_regular_file_is_read(path: Path, clock: Clock) -> None:
    """
    A symbolic link is not followed, a pipe not waited for, a directory not read.
    """
    elsewhere = path.with_name("elsewhere")
    await saved(elsewhere, clock)
    path.symlink_to(elsewhere)
    assert (await loaded(store_at(path, clock)))[0] is None
    await saved(path, clock)
    assert path.is_symlink()
    path.unlink()
    os.mkfifo(path, 0o600)
    assert (await loaded(store_at(path, clock))) == (None, ["it is not a regular file"])
    path.unlink()
    path.mkdir(0o700)
    assert (await loaded(store_at(path, clock))) == (None, ["it is not a regular file"])


@pytest.mark.parametrize("others", ["secret", "url"])
async def test_a_foreign_file_is_ignored(path: Path, clock: Clock, others: str) -> None:
    """
    Another secret's or another issuer's token is not ours to send.
    """
    await saved(path, clock)
    found, warnings = await loaded(store_at(path, clock, **{others: "another"}))
    assert found is None
    assert warnings == ["it is damaged, or was written for another client or secret"]


@pytest.mark.parametrize("at", [0, 25, 40, -1])
async def test_a_damaged_file_is_ignored(path: Path, clock: Clock, at: int) -> None:
    """
    One changed bit, anywhere, and nothing of the file is believed.
    """
    await saved(path, clock)
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    assert (await loaded(store_at(path, clock)))[0] is None
    path.write_bytes(content[:30])
    assert (await loaded(store_at(path, clock)))[0] is None
    path.write_bytes(b"")
    assert (await loaded(store_at(path, clock)))[0] is None


@pytest.mark.parametrize(
    "record",
    [
        b"[]",
        b"{",
        b'{"token": "t", "issued_at": NaN, "lifetime": 60}',
        b'{"token": "t", "issued_at": 1700000000, "lifetime": 1e300}',
        b'{"token": "t", "issued_at": ' + b"9" * 400 + b', "lifetime": 60}',
        b'{"token": "t\\r\\nX: y", "issued_at": 1700000000, "lifetime": 60}',
        b'{"token": "t", "issued_at": 1700000000, "lifetime": true}',
        b'{"not_before": NaN}',
    ],
)
async def test_a_record_is_checked_although_it_was_sealed_by_us(
    path: Path, clock: Clock, record: bytes
) -> None:
    """
    Whatever got into the file, no exception and no nonsense comes out of it.
    """
    await saved(path, clock)
    context = Store(path, config(URL), FixedSecret("s3cret"), clock=clock)._context
    path.write_bytes(seal(record, secret="s3cret", context=context))
    found = await store_at(path, clock).load()
    assert found.grant is None
    assert found.not_before is None


@pytest.mark.parametrize("passed", [100.0, 1e6, -61.0])
async def test_a_stale_token_is_ignored(path: Path, clock: Clock, passed: float) -> None:
    """
    One that has expired, or that comes from the future, is as good as none.
    """
    await saved(path, clock)
    clock.advance(passed)
    found, warnings = await loaded(store_at(path, clock))
    assert found is None
    assert warnings == ["the token in it has expired, or the clock was set back"]


async def test_a_missing_file_is_no_news(path: Path, clock: Clock) -> None:
    """
    There is none before the first token, and nobody needs to be told.
    """
    assert await loaded(store_at(path, clock)) == (None, [])


async def test_the_same_trouble_is_told_once(path: Path, clock: Clock) -> None:
    """
    A file that stays wrong costs one line, not one a refresh.
    """
    await saved(path, clock)
    path.chmod(0o644)
    store = store_at(path, clock)
    with logged() as lines:
        for _ in range(3):
            await store.load()
    assert len(lines) == 1


async def test_a_directory_that_cannot_be_written_is_a_warning(path: Path, clock: Clock) -> None:
    """
    Without the file there is still a token.
    """
    store = store_at(path / "absent" / "token", clock)
    with logged() as lines:
        async with store.turn():
            await store.save(grant=grant())
    assert [line["event"] for line in lines] == ["token.cache_file_not_locked"]


async def test_the_file_changes_as_a_whole(path: Path, clock: Clock) -> None:
    """
    Whoever reads while it is replaced finds the old or the new, and nothing is left beside it.
    """
    await saved(path, clock)
    reading = path.open("rb")
    before = path.read_bytes()
    await saved(path, clock)
    with reading:
        assert reading.read() == before != path.read_bytes()
    assert [each.name for each in path.parent.iterdir()] == ["token"]


async def test_a_turn_waits_for_the_one_before(path: Path, clock: Clock) -> None:
    """
    Two stores at the same file take turns.
    """
    told: list[str] = []

    async def take(name: str, hold: float) -> None:
        async with store_at(path, clock).turn():
            told.append(f"{name} in")
            await asyncio.sleep(hold)
            told.append(f"{name} out")

    await asyncio.gather(take("a", 0.1), take("b", 0))
    assert told == ["a in", "a out", "b in", "b out"]


async def test_a_holder_that_does_nothing_is_not_waited_for(path: Path, clock: Clock) -> None:
    """
    A stopped process holds the lock for ever; after three exchanges' time it is passed by.
    """
    stuck = os.open(path.with_name("token.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(stuck, fcntl.LOCK_EX)
    with logged() as lines:
        entering = asyncio.create_task(_enter(store_at(path, clock)))
        while not entering.done():
            clock.advance(1)
            await asyncio.sleep(0.01)
    os.close(stuck)
    assert clock.now() >= 1_000 + 3 * 10
    assert [line["event"] for line in lines] == ["token.cache_file_not_locked"]


async def _enter(store: Store) -> None:
    async with store.turn():
        pass


def test_without_cryptography_the_start_says_what_to_install(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A cache file that can't be sealed is refused at once, not written in clear.
    """
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(CacheUnavailable, match=r"pip install 'bearer-proxy\[cache\]'"):
        Tokens(config(URL), FixedSecret(), cache_file=path)


async def test_a_restart_asks_no_issuer(issuer: ScriptedIssuer, path: Path) -> None:
    """
    The second process of a day has its token from the file, and its age with it.
    """
    for _ in range(3):
        tokens = Tokens(config(issuer.url), FixedSecret(), cache_file=path)
        await tokens.start()
        assert await token_of(tokens) == "token-1"
        await tokens.stop()
    assert len(issuer.calls) == 1
    assert tokens.snapshot().adoptions == 1


async def test_a_refused_token_is_not_taken_from_the_file_again(
    issuer: ScriptedIssuer, path: Path
) -> None:
    """
    A forced refresh forces, though the file has a token that looks good; and the other process
    that is refused later finds the new one there.
    """
    one, two = (Tokens(config(issuer.url), FixedSecret(), cache_file=path) for _ in range(2))
    for tokens in (one, two):
        await tokens.start()
        assert await token_of(tokens) == "token-1"
    for tokens in (one, two):
        refused = tokens.cache.current()
        assert refused is not None
        assert tokens.cache.refused(refused)
        assert await token_of(tokens) == "token-2"
    assert len(issuer.calls) == 2
    for tokens in (one, two):
        await tokens.stop()


async def test_a_rate_limit_is_shared(issuer: ScriptedIssuer, path: Path) -> None:
    """
    What one process was told, the next does not ask again: it starts with the issuer's pause.
    """
    store = Store(path, config(issuer.url), FixedSecret(), clock=(clock := Clock()))
    await store.save(grant=None, not_before=clock.now() + 60)
    tokens = Tokens(config(issuer.url), FixedSecret(), clock=clock, cache_file=path)
    told = asyncio.Event()
    tokens.cache.on_change(told.set)
    await tokens.start()
    await told.wait()
    shortage = tokens.cache.shortage()
    assert (shortage.code, shortage.retry_after) == ("issuer_rate_limited", 60)
    await tokens.stop()
    assert issuer.calls == []
