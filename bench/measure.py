"""
The processor time and the memory of a whole process tree.

Processor time and not throughput: on a shared machine the first is steady and the second is the
neighbours'. It is read before and after a run, so what a process cost to start is not in it.
"""

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

_NANOSECONDS_PER_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def tree_cpu_ns(root: int) -> int:
    """
    Return the nanoseconds of processor time that process *root* and its descendants have used.

    Children that ended count as well, once their parent has waited for them, in steps of a clock
    tick (10 ms). The system's part (``stime``) is included. Raises ProcessLookupError if *root* is
    gone; other processes of the tree may go while this looks.
    """
    children = _children_by_parent()
    total = _process_cpu_ns(root)
    waiting = children[root].copy()
    while waiting:
        pid = waiting.pop()
        waiting += children[pid]
        try:
            total += _process_cpu_ns(pid)
        except (ProcessLookupError, FileNotFoundError):
            continue
    return total


def tree_pss_kib(root: int) -> int:
    """
    Return the KiB of memory that process *root* and its descendants take.

    A page that several processes share counts for each in part. Raises PermissionError where the
    process lets nobody look into its memory; root may.
    """
    children = _children_by_parent()
    total, waiting = 0, [root]
    while waiting:
        pid = waiting.pop()
        waiting += children[pid]
        rollup = Path("/proc", str(pid), "smaps_rollup").read_text("utf-8")
        total += sum(
            int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")
        )
    return total


def _process_cpu_ns(pid: int) -> int:
    # The clock of clock_getcpuclockid(3): all threads, ended ones too, in nanoseconds where
    # /proc/<pid>/stat has ticks. Its number is the kernel's interface; Python has no name for it.
    try:
        own = time.clock_gettime_ns((~pid << 3) | 2)
    except OSError as error:
        raise ProcessLookupError(f"no process {pid}") from error
    fields = _stat(Path("/proc", str(pid), "stat"))
    reaped_ticks = int(fields[13]) + int(fields[14])
    return own + reaped_ticks * _NANOSECONDS_PER_TICK


def _children_by_parent() -> defaultdict[int, list[int]]:
    children: defaultdict[int, list[int]] = defaultdict(list)
    for pid, fields in _all_processes():
        children[int(fields[1])].append(pid)
    return children


def _all_processes() -> Iterator[tuple[int, list[str]]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                yield int(entry.name), _stat(entry / "stat")
            except (ProcessLookupError, FileNotFoundError):
                continue


def _stat(path: Path) -> list[str]:
    """Return proc_pid_stat(5)'s fields from the third on; the second may contain anything."""
    return path.read_text("utf-8", "replace").rpartition(")")[2].split()
