"""What the system says of a proxy's processes: which there are, and whose connections are whose."""

import os
import re
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from tests.e2e.process import PATIENCE_SECONDS

_ESTABLISHED = "01"
_SOCKET = re.compile(r"socket:\[(\d+)\]")
_GONE = (FileNotFoundError, ProcessLookupError)


def descendants(root: int) -> list[int]:
    """Return the processes that stem from *root*, without itself."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
            children[int(fields[1])].append(int(entry.name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        new = children[waiting.pop()]
        found += new
        waiting += new
    return found


def is_alive(pid: int) -> bool:
    """Tell whether *pid* is a process that has not ended, waited for or not."""
    return bool(_stat(pid))


def serving(root: int, port: int) -> dict[int, set[int]]:
    """Return which processes of the tree at *root* hold which clients of *port*, by their ports."""
    clients = _clients(port)
    found = {}
    for pid in (root, *descendants(root)):
        if held := {clients[inode] for inode in _inodes(pid) if inode in clients}:
            found[pid] = held
    return found


def memory_holds(pid: int, wanted: bytes) -> bool:
    """Tell whether *wanted* stands anywhere in the memory of *pid*, which only root may read."""
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for region in Path(f"/proc/{pid}/maps").read_text().splitlines():
            where, rights, *_ = region.split()
            if "r" not in rights or region.endswith(("[vvar]", "[vsyscall]")):
                continue
            begin, end = (int(each, 16) for each in where.split("-"))
            memory.seek(begin)
            try:
                if wanted in memory.read(end - begin):
                    return True
            except OSError:  # a region that was reserved and never used
                continue
    return False


def until(so: Callable[[], bool], what: str) -> float:
    """Wait until it is *so*; return how many seconds that took."""
    begun = time.monotonic()
    while not so():
        if time.monotonic() - begun > PATIENCE_SECONDS:
            raise AssertionError(f"not within {PATIENCE_SECONDS:g} s: {what}")
        time.sleep(0.01)
    return time.monotonic() - begun


def _stat(pid: int) -> list[str]:
    """Return state, parent and so on of *pid*; nothing if it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except _GONE:
        return []
    fields = text.rpartition(")")[2].split()
    return [] if fields[0] == "Z" else fields


def _clients(port: int) -> dict[str, int]:
    """Return the client's port of each connection to *port*, by the inode of our socket."""
    found = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        local, remote = (int(each.rpartition(":")[2], 16) for each in fields[1:3])
        if fields[3] == _ESTABLISHED and local == port:
            found[fields[9]] = remote
    return found


def _inodes(pid: int) -> set[str]:
    found = set()
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            if match := _SOCKET.fullmatch(os.readlink(entry.path)):
                found.add(match[1])
    except _GONE:
        pass  # of a descriptor that was closed meanwhile, or of the process
    return found
