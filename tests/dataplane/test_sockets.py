"""Unix sockets: whom the file lets in, who the kernel says is there, what stands in the way."""

import asyncio
import os
import socket
import stat
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.dataplane import Address, Listener
from proxy.dataplane.sockets import Sockets, bind
from proxy.policy.callers import Callers
from tests.dataplane.conftest import Start
from tests.dataplane.rig import NO_CONTENT, Rig, Setup, get, own_answer
from tests.dataplane.wire import PATIENCE_SECONDS, Wire
from tests.programs import needs

NOBODY = 65534
STRANGER = 4_000_000_000
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def path() -> Iterator[Path]:
    """Where a socket may stand, in a directory that is open to other users."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory) / "proxy.sock"


@asynccontextmanager
async def listening(rig: Rig, path: Path, mode: int = 0o600) -> AsyncIterator[None]:
    """Have the plane of *rig* reachable at *path* as well."""
    listener = Listener(rig.plane)
    await listener.start([Address(path=str(path), mode=mode)])
    try:
        yield
    finally:
        listener.stop()


def is_socket(path: Path) -> bool:
    return path.exists() and stat.S_ISSOCK(path.stat().st_mode)


async def client_at(rig: Rig, path: Path) -> Wire:
    loop = asyncio.get_running_loop()
    _, wire = await loop.create_unix_connection(Wire, str(path))
    rig.clients.append(wire)
    return wire


async def forwarded(rig: Rig, client: Wire) -> None:
    """See a request of *client* get to the upstream and back."""
    client.send(get())
    upstream = await rig.upstream.accept()
    await upstream.head()
    upstream.send(NO_CONTENT)
    assert (await client.head()).startswith(b"HTTP/1.1 204 ")


def as_nobody(path: Path) -> asyncio.Task[subprocess.CompletedProcess[bytes]]:
    """Have another user ask at *path*, from a process of its own."""
    command = ["curl", "--silent", "--show-error", "--max-time", str(PATIENCE_SECONDS)]
    command += ["--unix-socket", str(path), "--write-out", "%{http_code}", "http://localhost/"]
    return asyncio.create_task(
        asyncio.to_thread(
            subprocess.run,
            command,
            capture_output=True,
            check=False,
            cwd="/",
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
        )
    )


# Who is there.


async def test_a_user_who_is_named_is_served_and_logged_by_its_id(start: Start, path: Path) -> None:
    """
    The kernel says who connected; no field does.
    """
    rig = await start(Setup(callers=Callers(uids=frozenset({STRANGER, os.getuid()}))))
    async with listening(rig, path):
        await forwarded(rig, await client_at(rig, path))
        [record] = await rig.journal.told()
        assert record.client == f"unix uid={os.getuid()}"


async def test_any_other_user_hears_why_not_before_it_asks(start: Start, path: Path) -> None:
    """
    Whatever it sends: the connection ends, and nothing gets to the upstream.
    """
    rig = await start(Setup(callers=Callers(uids=frozenset({STRANGER}))))
    async with listening(rig, path):
        client = await client_at(rig, path)
        answer = await own_answer(client)
        assert b'"code": "caller_not_allowed"' in answer
        assert b"User %d may not use this proxy (listen.allowed_uids)" % os.getuid() in answer
        client.send(get())
        await client.ended()
        assert not client.unread
        assert not rig.upstream.connections
        [record] = await rig.journal.told()
        assert (record.error, record.status) == ("caller_not_allowed", 403)
        assert record.client == f"unix uid={os.getuid()}"


async def test_who_is_not_at_a_unix_socket_is_nobody(start: Start) -> None:
    """
    A descriptor from a supervisor may be one of TCP, of which no user is known.
    """
    rig = await start(Setup(callers=Callers(uids=frozenset({os.getuid()}))))
    answer = await own_answer(await rig.client())
    assert b"Who is not at a Unix socket may not use this proxy" in answer


@as_root
@needs("curl")
async def test_another_user_is_told_apart_and_root_is_one_as_well(start: Start, path: Path) -> None:
    """
    Open to all by its mode, the socket serves the one user who is named, and not even root.
    """
    rig = await start(Setup(callers=Callers(uids=frozenset({NOBODY}))))
    async with listening(rig, path, mode=0o666):
        asking = as_nobody(path)
        upstream = await rig.upstream.accept()
        await upstream.head()
        upstream.send(NO_CONTENT)
        assert (await asking).stdout == b"204"
        assert (await rig.journal.told())[0].client == f"unix uid={NOBODY}"
        assert b"User 0 may not" in await own_answer(await client_at(rig, path))


@as_root
@needs("curl")
async def test_a_user_who_is_not_named_is_refused_by_the_proxy(start: Start, path: Path) -> None:
    """
    The same the other way round.
    """
    rig = await start(Setup(callers=Callers(uids=frozenset({0}))))
    async with listening(rig, path, mode=0o666):
        done = await as_nobody(path)
        assert b'"code": "caller_not_allowed"' in done.stdout
        assert done.stdout.endswith(b"403")
        await forwarded(rig, await client_at(rig, path))


@as_root
@needs("curl")
async def test_a_mode_keeps_other_users_out_before_the_proxy_does(start: Start, path: Path) -> None:
    """
    By default nobody else gets as far as being asked who it is.
    """
    rig = await start(Setup())
    async with listening(rig, path):
        done = await as_nobody(path)
        assert done.returncode == 7, "curl's code for: could not connect"
        assert not rig.plane.connections
        await forwarded(rig, await client_at(rig, path))


# The file.


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666, 0o200])
def test_the_file_has_the_mode_that_is_configured(path: Path, mode: int, umask: int) -> None:
    """
    Whatever umask the process was started with.
    """
    former = os.umask(umask)
    try:
        with bind(Address(path=str(path), mode=mode)):
            assert stat.S_IMODE(path.stat().st_mode) == mode
    finally:
        os.umask(former)


@as_root
@pytest.mark.parametrize(("user", "group"), [(NOBODY, -1), (-1, NOBODY), (NOBODY, 7)])
def test_the_file_is_given_to_whom_is_configured(path: Path, user: int, group: int) -> None:
    """
    -1 leaves an owner as it is; the mode holds all the same.
    """
    with bind(Address(path=str(path), mode=0o660, user=user, group=group)):
        found = path.stat()
        assert (found.st_uid, found.st_gid) == (max(user, 0), max(group, 0))
        assert stat.S_IMODE(found.st_mode) == 0o660


def test_a_socket_that_a_dead_process_left_is_replaced(path: Path) -> None:
    """
    A crash must not keep the next start from its address.
    """
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with bind(Address(path=str(path))) as sock:
        sock.listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_socket_that_somebody_listens_at_is_not(path: Path) -> None:
    """
    It stays theirs, and goes on being served.
    """
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(str(path))
        theirs.listen()
        inode = path.stat().st_ino
        with pytest.raises(OSError, match="in use"):
            bind(Address(path=str(path)))
        assert path.stat().st_ino == inode
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


@pytest.mark.parametrize("what", ["file", "directory", "link to a file", "dangling link"])
def test_what_is_no_socket_is_left_alone(path: Path, what: str) -> None:
    """
    A mistyped path costs nobody a file.
    """
    kept = path.with_name("kept")
    kept.write_text("precious")
    if what == "file":
        path.write_text("precious")
    elif what == "directory":
        path.mkdir()
    else:
        path.symlink_to(kept if what == "link to a file" else path.with_name("absent"))
    before = path.lstat().st_ino
    with pytest.raises(OSError, match="in use"):
        bind(Address(path=str(path)))
    assert path.lstat().st_ino == before
    assert kept.read_text() == "precious"
    assert not path.with_name("absent").exists()


async def test_the_file_goes_with_the_listener(rig: Rig, path: Path) -> None:
    """
    Nobody finds a socket that nobody listens at.
    """
    async with listening(rig, path):
        assert is_socket(path)
    assert not is_socket(path)


async def test_of_several_addresses_all_are_listened_at_or_none(path: Path) -> None:
    """
    One that somebody else has closes those before it, and leaves no file of theirs.
    """
    sockets = Sockets()
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        taken = Address(host="127.0.0.1", port=theirs.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            await sockets.open([Address(path=str(path)), taken])
    assert not is_socket(path)
    assert not list(sockets)


async def test_a_port_that_the_system_chose_is_told(path: Path) -> None:
    """
    What is bound is where clients connect to; a path is what was asked for.
    """
    sockets = Sockets()
    await sockets.open([Address(host="127.0.0.1"), Address(path=str(path))])
    try:
        chosen, file = sockets.bound
        socket.create_connection((chosen.host, chosen.port)).close()
        assert file == Address(path=str(path))
    finally:
        sockets.close()
