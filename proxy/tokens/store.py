"""
The token cache file: a token that outlives a restart, shared by processes of the same client.

Rule 1: it is a convenience. Whatever is wrong with it is said once and otherwise ignored; the
        issuer is asked instead.

Rule 2: a file that others can read, or that is somebody else's, is neither read nor replaced.

Rule 3: it changes as a whole: written beside, flushed, renamed. No symbolic link is followed.

Rule 4: whoever wants to ask the issuer takes a turn first, under a lock that dies with its process.
        Who comes second finds what the first was given: a token, or the time until which
        the issuer wants to be left alone. (Other failures are not shared: they may be one host's.)

Times in the file are the wall clock's, since no other survives a reboot.
"""

import asyncio
import fcntl
import json
import os
import secrets
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from proxy.tokens import seal
from proxy.tokens.answer import sendable
from proxy.tokens.clock import Clock
from proxy.tokens.config import IssuerConfig
from proxy.tokens.lifetime import LONGEST_SECONDS, Lifetime
from proxy.tokens.outcome import Grant, Secret

log = structlog.get_logger()

_FILE_BYTES = 64 * 1024
_LOOK_AT_LOCK_SECONDS = 0.05
# A holder needs one exchange. One that takes this many has been stopped, and is not waited for.
_PATIENCE_EXCHANGES = 3
# A wall clock may be corrected by this much between writing and reading.
_CLOCK_STEP_SECONDS = 60.0
# The year 33658: no time in the file is later.
_FAR_FUTURE = 1e12


@dataclass(frozen=True, slots=True)
class Found:
    """What the file holds: perhaps a token, perhaps a time before which the issuer is not asked."""

    grant: Grant | None = None
    not_before: float | None = None


class _Refused(Exception):
    """The file is not used; the text says why and what to do."""


class Store:
    """
    The file at *path*, for one issuer and client. Nothing here blocks the event loop.

    ``seal.Unavailable`` if it cannot be encrypted here.
    """

    def __init__(self, path: Path, config: IssuerConfig, secret: Secret, *, clock: Clock) -> None:
        seal.require()
        self._path = path
        self._secret = secret
        self._clock = clock
        self._patience = _PATIENCE_EXCHANGES * config.timeout_seconds
        self._context = json.dumps(
            [config.url, config.client_id, config.scope, sorted(config.extra.items())]
        ).encode()
        self._said = ""

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Hold the lock for the time of the block; without it where it cannot be had."""
        lock = self._open_lock()
        try:
            if lock is not None:
                await self._wait_for(lock)
            yield
        finally:
            if lock is not None:
                os.close(lock)

    async def load(self) -> Found:
        """Return what the file holds that is still of use; an empty Found if nothing."""
        try:
            found = await asyncio.to_thread(self._load)
        except _Refused as reason:
            self._warn("token.cache_file_ignored", str(reason))
            return Found()
        except FileNotFoundError:
            return Found()
        except (OSError, ValueError) as error:
            self._warn("token.cache_file_ignored", _reason(error))
            return Found()
        self._said = ""
        return found

    async def save(self, *, grant: Grant | None, not_before: float | None = None) -> None:
        """Replace the file by a token, by the moment before which not to ask, or by both."""
        try:
            await asyncio.to_thread(self._save, grant, not_before)
        except _Refused as reason:
            self._warn("token.cache_file_not_written", str(reason))
        except (OSError, ValueError) as error:
            self._warn("token.cache_file_not_written", _reason(error))

    def _warn(self, event: str, reason: str) -> None:
        """Say what is wrong, once until something else is."""
        if reason != self._said:
            self._said = reason
            log.warning(event, path=str(self._path), reason=reason)

    # The lock.

    def _open_lock(self) -> int | None:
        path = self._path.with_name(self._path.name + ".lock")
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(path, flags, 0o600)
        except OSError as error:
            self._warn("token.cache_file_not_locked", _reason(error))
            return None

    async def _wait_for(self, lock: int) -> None:
        until = self._clock.now() + self._patience
        while self._clock.now() < until:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                await asyncio.sleep(_LOOK_AT_LOCK_SECONDS)
            except OSError as error:
                self._warn("token.cache_file_not_locked", _reason(error))
                return
        self._warn("token.cache_file_not_locked", "another process holds the lock and does nothing")

    # The file; in a thread.

    def _load(self) -> Found:
        descriptor = self._open_checked()
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(_FILE_BYTES)
        try:
            plain = seal.unseal(content, secret=self._secret.read(), context=self._context)
        except seal.Foreign:
            raise _Refused("it is damaged, or was written for another client or secret") from None
        return self._parsed(json.loads(plain))

    def _open_checked(self) -> int:
        """Return the open file; _Refused if it is not ours alone."""
        # O_NONBLOCK: to open a named pipe must not wait for its writer.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(self._path, flags)
        try:
            self._check(os.fstat(descriptor))
        except _Refused:
            os.close(descriptor)
            raise
        return descriptor

    def _check(self, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise _Refused("it is not a regular file")
        if status.st_uid != os.geteuid():
            raise _Refused("it belongs to another user")
        if status.st_mode & 0o077:
            raise _Refused("others can read it: chmod 600 it, or delete it")

    def _parsed(self, record: object) -> Found:
        """Return the record on our clock. Sealed by our own hand, and checked all the same."""
        if not isinstance(record, dict):
            raise _Refused("it is damaged")
        now, wall = self._clock.now(), self._clock.wall()
        not_before, issued, life = map(
            _number, (record.get(name) for name in ("not_before", "issued_at", "lifetime"))
        )
        hold = None if not_before is None else not_before - wall + now
        token = record.get("token")
        if token is None:
            return Found(None, hold)
        if not sendable(token) or issued is None or life is None or life > LONGEST_SECONDS:
            raise _Refused("it is damaged")
        age = wall - issued
        if not -_CLOCK_STEP_SECONDS <= age < life:
            if hold is not None and hold > now:
                return Found(None, hold)
            raise _Refused("the token in it has expired, or the clock was set back")
        lifetime = Lifetime(life, str(record.get("source")))
        return Found(Grant(token, lifetime, now - max(age, 0.0)), hold)

    def _save(self, grant: Grant | None, not_before: float | None) -> None:
        with suppress(FileNotFoundError):
            self._check(os.lstat(self._path))
        behind = self._clock.wall() - self._clock.now()
        record: dict[str, object] = {}
        if grant is not None:
            record |= {
                "token": grant.token,
                "issued_at": grant.sent_at + behind,
                "lifetime": grant.lifetime.seconds,
                "source": grant.lifetime.source,
            }
        if not_before is not None:
            record["not_before"] = not_before + behind
        content = seal.seal(
            json.dumps(record).encode(), secret=self._secret.read(), context=self._context
        )
        self._replace(content)

    def _replace(self, content: bytes) -> None:
        beside = self._path.with_name(f".{self._path.name}.{secrets.token_hex(8)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(beside, flags, 0o600), "wb") as file:
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                os.replace(beside, self._path)
            except OSError:
                beside.unlink(missing_ok=True)
                raise
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _number(value: object) -> float | None:
    """Return *value* as seconds, None if it is not a sane number of them; NaN is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 < value < _FAR_FUTURE else None


def _reason(error: OSError | ValueError) -> str:
    """Return what went wrong, in words that quote no content."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return type(error).__name__
