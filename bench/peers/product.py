"""The product in its default configuration: access log on, as JSON lines into a file."""

import compileall
import json
import os
import sys
from pathlib import Path

import proxy
from bench.peers.site import Site
from bench.processes import Launch

# A JSON string is a TOML basic string as well.
_CONFIG = """
[listen]
address = {listen}

[upstream]
url = {upstream}
ca_file = {ca_file}

[token]
url = {issuer}
client_id = "bench"

[admin]
address = {admin}

[log]
format = "json"
access = {access}
"""


_PACKAGE = Path(proxy.__file__).parent
_ABSENT = Path(__file__).parent / "absent"


def launch(site: Site) -> Launch:
    """Say how to start the installed ``bearer-proxy run`` on *site*."""
    return _launch(site, access="all")


def launch_unlogged(site: Site) -> Launch:
    """Say how to start it without an access log."""
    return _launch(site, access="off")


def launch_two_workers(site: Site) -> Launch:
    """Say how to start it with two workers."""
    launch = _launch(site, access="all")
    command = [*launch.command, "--workers", "2"]
    return Launch(command=command, environment=launch.environment)


def _launch(site: Site, *, access: str) -> Launch:
    # As an installed package is; a checkout may be of an environment that writes no bytecode.
    compileall.compile_dir(_PACKAGE, quiet=1)
    config = site.directory / "config.toml"
    values = {
        "listen": f"127.0.0.1:{site.port}",
        "upstream": site.base_url,
        "ca_file": str(site.upstream.ca_file),
        "issuer": site.issuer_url,
        # On, as it is by default, but not where another one may be running.
        "admin": f"127.0.0.1:{site.admin_port}",
        "access": access,
    }
    config.write_text(_CONFIG.format_map({key: json.dumps(text) for key, text in values.items()}))
    program = Path(sys.executable).with_name("bearer-proxy")
    return Launch(
        command=[str(program), "run", "--config", str(config)],
        environment={
            "BEARER_PROXY_TOKEN_CLIENT_SECRET": "bench",
            "PYTHONPATH": os.pathsep.join(
                filter(None, (str(_ABSENT), os.environ.get("PYTHONPATH")))
            ),
        },
    )
