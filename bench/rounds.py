"""
All proxies of a mode, measured in turn.

Rule 1: what is compared runs in one run: a machine that slows down slows all of them.

Rule 2: one at a time, A B C A B C …, each round beginning with another, so that drift and
        position favour nobody. The others stand idle meanwhile.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import load, takes
from bench.modes import FIGURES, Mode
from bench.peers import PEERS
from bench.peers.site import Site
from bench.processes import free_port, running, tail
from bench.takes import Running
from bench.upstream import Upstream

# One proxy's figures of one round, by their names in FIGURES.
Sample = Mapping[str, float]
# By proxy's name, one per round.
Samples = Mapping[str, Sequence[Sample]]


@dataclass(frozen=True, kw_only=True)
class Cores:
    """The proxy under test has one core to itself; load generator and upstream share the other."""

    proxy: int
    load: int


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where measuring happens: *directory* is for whatever a mode leaves behind."""

    upstream: Upstream
    cores: Cores
    directory: Path
    seconds: int


def measure_mode(
    mode: Mode,
    *,
    peers: Sequence[str],
    rounds: int,
    place: Place,
    progress: Callable[[str], None],
) -> Samples:
    """Return a sample per proxy and round, in the order of the rounds."""
    samples: dict[str, list[Sample]] = {name: [] for name in peers}
    with contextlib.ExitStack() as stack:
        afresh = mode.kind in ("idle", "start")
        servers = {} if afresh else {n: stack.enter_context(_up(n, mode, place)) for n in peers}
        for number in range(rounds):
            first = number % len(peers)
            for name in [*peers[first:], *peers[:first]]:
                if afresh:
                    sample = _sample_afresh(name, mode, place, number)
                else:
                    sample = _sample(servers[name], mode, place)
                samples[name].append(sample)
                figure = FIGURES[mode.figure]
                progress(
                    f"{mode.name} {number + 1}/{rounds} {name}: "
                    f"{sample[mode.figure]:.{figure.digits}f} {figure.name}\n"
                )
    return samples


def _site(name: str, mode: Mode, place: Place, number: int = 0) -> Site:
    own = place.directory / f"{mode.name}-{name}-{number}"
    own.mkdir()
    return Site(
        directory=own,
        port=free_port(),
        admin_port=free_port(),
        upstream=place.upstream,
        scheme=mode.upstream,
        short_tokens=mode.kind == "refresh",
    )


@contextlib.contextmanager
def _up(name: str, mode: Mode, place: Place, number: int = 0) -> Iterator[Running]:
    site = _site(name, mode, place, number)
    log, launch = site.directory / "output.log", PEERS[name].launch(site)
    with running(launch, core=place.cores.proxy, port=site.port, log=log) as pid:
        yield Running(name, pid, site, log)


def _sample(server: Running, mode: Mode, place: Place) -> Sample:
    take = {"load": takes.load_on, "bulk": takes.bulk_through, "refresh": takes.refreshing}
    try:
        sample = take[mode.kind](server, mode, seconds=place.seconds)
    except load.LoadError as error:
        said = tail(server.log)
        raise load.LoadError(f"{server.name}, {mode.name}: {error}; it wrote: {said}") from error
    # An access log of some million lines is of no use to anyone.
    server.log.write_bytes(b"")
    return sample


def _sample_afresh(name: str, mode: Mode, place: Place, number: int) -> Sample:
    if mode.kind == "idle":
        with _up(name, mode, place, number) as server:
            return takes.idle_at(server, mode)
    site = _site(name, mode, place, number)
    launch, log = PEERS[name].launch(site), site.directory / "output.log"
    return takes.start_of(launch, mode, site=site, core=place.cores.proxy, log=log)
