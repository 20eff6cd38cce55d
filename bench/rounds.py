"""
All proxies of a mode side by side, measured in turn.

Rule 1: what is compared runs in one run: a machine that slows down slows all of them.

Rule 2: one at a time, A B C A B C …, each round beginning with another, so that drift and
        position favour nobody. The others stand idle meanwhile.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import load
from bench.measure import tree_cpu_ns
from bench.modes import Mode
from bench.peers import PEERS
from bench.peers.site import Site
from bench.processes import free_port, running, tail
from bench.upstream import Upstream

WARM_UP_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """One proxy's figures of one round."""

    requests: int
    seconds: float
    cpu_seconds: float
    p50_us: float
    p99_us: float

    @property
    def cpu_us_per_request(self) -> float:
        """The figure that is compared."""
        return self.cpu_seconds * 1e6 / self.requests


# By proxy's name, one per round.
Samples = Mapping[str, Sequence[Sample]]


@dataclass(frozen=True, kw_only=True)
class Cores:
    """The proxy under test has one core to itself; load generator and upstream share the other."""

    proxy: int
    load: int


@dataclass(frozen=True, slots=True)
class _Running:
    name: str
    pid: int
    port: int
    log: Path


def measure_mode(
    mode: Mode,
    *,
    peers: Sequence[str],
    rounds: int,
    seconds: int,
    upstream: Upstream,
    cores: Cores,
    directory: Path,
    progress: Callable[[str], None],
) -> Samples:
    """Return a sample per proxy and round, in the order of the rounds."""
    samples: dict[str, list[Sample]] = {name: [] for name in peers}
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(
                _peer(name, mode, upstream=upstream, core=cores.proxy, directory=directory)
            )
            for name in peers
        ]
        for number in range(rounds):
            first = number % len(servers)
            for server in servers[first:] + servers[:first]:
                sample = _sample(server, mode, seconds=seconds, directory=directory)
                samples[server.name].append(sample)
                progress(
                    f"{mode.name} {number + 1}/{rounds} {server.name}: "
                    f"{sample.cpu_us_per_request:.1f} µs\n"
                )
    return samples


@contextlib.contextmanager
def _peer(
    name: str, mode: Mode, *, upstream: Upstream, core: int, directory: Path
) -> Iterator[_Running]:
    own = directory / f"{mode.name}-{name}"
    own.mkdir()
    site = Site(directory=own, port=free_port(), upstream=upstream, scheme=mode.upstream)
    log = own / "output.log"
    with running(PEERS[name](site), core=core, port=site.port, log=log) as pid:
        yield _Running(name, pid, site.port, log)


def _sample(server: _Running, mode: Mode, *, seconds: int, directory: Path) -> Sample:
    try:
        load.run(mode, port=server.port, seconds=WARM_UP_SECONDS, directory=directory)
        before = tree_cpu_ns(server.pid)
        seen = load.run(mode, port=server.port, seconds=seconds, directory=directory)
        after = tree_cpu_ns(server.pid)
    except load.LoadError as error:
        said = tail(server.log)
        raise load.LoadError(f"{server.name}, {mode.name}: {error}; it wrote: {said}") from error
    # An access log of some million lines is of no use to anyone.
    server.log.write_bytes(b"")
    return Sample(
        requests=seen.requests,
        seconds=seen.seconds,
        cpu_seconds=(after - before) / 1e9,
        p50_us=seen.p50_us,
        p99_us=seen.p99_us,
    )
