"""``python -m bench``: measure, print tables, write JSON and picture. Options: ``--help``."""

import argparse
import contextlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from bench import picture, report, targets
from bench.load import LoadError
from bench.modes import MODES
from bench.peers import PEERS
from bench.processes import StartError
from bench.programs import PATH
from bench.rounds import Cores, Place, Samples, measure_mode
from bench.upstream import upstream

_PRODUCT, _YARDSTICK, _GATED_MODE = "bearer-proxy", "nginx", "small-get"
# What only one mode asks for is not measured in the others.
_FOR_ONE_MODE = {"unlogged", "two-workers"}
_RESULT = Path(__file__).parent / "results" / "latest.json"


class _Unfit(Exception):
    """The machine lacks something that measuring needs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure as *arguments* say; return the exit code: 1 for failure and for a ratio exceeded."""
    options = _options(arguments)
    try:
        load_before = os.getloadavg()[1]  # of five minutes
        results = _measure(options, _cores())
        _write(f"\n{report.table(results)}\n{targets.markdown(results)}")
        document = report.document(results, seconds=options.seconds, load_before=load_before)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(document, indent=1) + "\n")
        options.output.with_suffix(".svg").write_text(picture.svg(results))
        return _judge(results, options.max_ratio)
    except (_Unfit, StartError, LoadError) as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("bench: stopped\n")
        return 128 + signal.SIGINT


def _measure(options: argparse.Namespace, cores: Cores) -> dict[str, Samples]:
    _allow_many_connections()
    results: dict[str, Samples] = {}
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        api = stack.enter_context(upstream(directory / "upstream", core=cores.load))
        place = Place(upstream=api, cores=cores, directory=directory, seconds=options.seconds)
        for name in options.modes:
            mode = MODES[name]
            chosen = [*options.peers, *(peer for peer in mode.peers if peer in _FOR_ONE_MODE)]
            peers = [each for each in (mode.peers or chosen) if each in chosen]
            if peers:
                results[name] = measure_mode(
                    mode, peers=peers, rounds=options.rounds, place=place, progress=_write
                )
    return results


def _allow_many_connections() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))


def _cores() -> Cores:
    """Check that this machine can measure, and divide it; we stay on the load's core ourselves."""
    programs = ("nginx", "wrk", "taskset", "curl")
    if missing := [name for name in programs if not shutil.which(name, path=PATH)]:
        names = " and ".join(missing)
        raise _Unfit(
            f"{names} not found; on Debian: apt-get install nginx-light wrk util-linux curl"
        )
    os.environ["PATH"] = PATH
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        raise _Unfit("two cores are needed: the proxy's, and the load generator's and upstream's")
    cores = Cores(proxy=available[0], load=available[1])
    os.sched_setaffinity(0, {cores.load})
    return cores


def _judge(results: dict[str, Samples], max_ratio: float | None) -> int:
    if max_ratio is None:
        return 0
    found = report.ratio(
        results[_GATED_MODE], _PRODUCT, to=_YARDSTICK, figure=MODES[_GATED_MODE].figure
    ).median
    verdict = "exceeds" if found > max_ratio else "is within"
    _write(f"{_GATED_MODE}: {found:.2f} x {_YARDSTICK} {verdict} {max_ratio:.2f}\n")
    return int(found > max_ratio)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="CPU time per proxied request, beside other proxies in the same run.",
    )
    parser.add_argument(
        "--modes", type=_some_of(MODES), default=list(MODES), help=f"of {', '.join(MODES)}"
    )
    parser.add_argument(
        "--peers",
        type=_some_of([name for name in PEERS if name not in _FOR_ONE_MODE]),
        help="those that are compared, the first being what ratios are to; unless told otherwise,"
        f" all that are here of {', '.join(PEERS)}",
    )
    parser.add_argument("--rounds", type=_positive, default=7)
    parser.add_argument("--seconds", type=_positive, default=2, help="length of one measurement")
    parser.add_argument("--output", type=Path, default=_RESULT, help="where the JSON goes")
    parser.add_argument(
        "--max-ratio",
        type=float,
        help=f"fail where {_GATED_MODE} costs more than this times {_YARDSTICK}",
    )
    options = parser.parse_args(arguments)
    options.peers = options.peers or _peers_here()
    for name in options.peers:
        if lack := PEERS[name].missing():
            parser.error(lack)
    if options.max_ratio is not None and not (
        _GATED_MODE in options.modes and {_PRODUCT, _YARDSTICK} <= set(options.peers)
    ):
        parser.error(f"--max-ratio needs {_GATED_MODE}, {_PRODUCT} and {_YARDSTICK} measured")
    return options


def _peers_here() -> list[str]:
    here = []
    for name, peer in PEERS.items():
        if lack := peer.missing():
            _write(f"without {name}: {lack}\n")
        elif name not in _FOR_ONE_MODE:
            here.append(name)
    return here


def _some_of(known: Collection[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := [name for name in chosen if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not of {', '.join(known)}")
        return chosen

    return names


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    # Whoever stops a run, no proxy is left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
