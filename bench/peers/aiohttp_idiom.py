"""
The proxy one writes with aiohttp in an afternoon, in ``idiom/main.py``.

It is run as a file, so that nothing of the benchmark is imported with it.
"""

import sys
from pathlib import Path

from bench.peers.site import Site
from bench.processes import Launch
from bench.upstream import TOKEN

_PROGRAM = Path(__file__).parent / "idiom" / "main.py"


def launch(site: Site) -> Launch:
    """Say how to start the program on *site*."""
    arguments = [str(site.port), site.base_url, str(site.upstream.ca_file), TOKEN]
    return Launch(command=[sys.executable, str(_PROGRAM), *arguments])
