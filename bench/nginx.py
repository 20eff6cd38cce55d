"""How an nginx is started here: one worker, in the foreground, all it writes in one place."""

import os
from pathlib import Path

from bench.processes import Launch

# A worker of root's master would become `nobody` and could not write into our directory.
_USER = "user root;" if os.geteuid() == 0 else ""

_FRAME = """
daemon off;
worker_processes 1;
{user}
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
  client_body_temp_path temp;
  proxy_temp_path temp;
  fastcgi_temp_path temp;
  uwsgi_temp_path temp;
  scgi_temp_path temp;
  # The default closes a connection every 1,000 requests: a second of one client here.
  keepalive_requests 1000000000;
  keepalive_timeout 3600s;
{http}
}}
"""


def launch(directory: Path, http: str) -> Launch:
    """Write a configuration whose ``http`` block is *http* and say how to start an nginx on it."""
    config = directory / "nginx.conf"
    config.write_text(_FRAME.format(user=_USER, http=http))
    return Launch(command=["nginx", "-e", "stderr", "-p", str(directory), "-c", str(config)])
