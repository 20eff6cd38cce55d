"""Go's ``httputil.ReverseProxy``: the standard library alone, on one processor."""

import subprocess
from pathlib import Path

from bench.peers.site import Site
from bench.processes import Launch, StartError
from bench.programs import found, in_environment
from bench.upstream import TOKEN

_SOURCE = Path(__file__).parent / "go" / "main.go"


def launch(site: Site) -> Launch:
    """Build the program and say how to start it on *site*."""
    program = site.directory / "proxy"
    build = [found("go"), "build", "-o", str(program), str(_SOURCE)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StartError(f"go build: {done.stderr}")
    arguments = [f"127.0.0.1:{site.port}", site.base_url, str(site.upstream.ca_file), TOKEN]
    return Launch(command=[str(program), *arguments], environment={"GOMAXPROCS": "1"})


def missing() -> str:
    """Say what is not there, and how to get it; empty if all is."""
    return in_environment("go")
