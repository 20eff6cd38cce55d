"""
The API behind all proxies: an nginx with a fixed answer, over http and https, and an issuer.

It answers 401 to a request without the bearer token, and the load generator takes that as failure:
so every request measured is one that the proxy authenticated.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import trustme

from bench import nginx
from bench.processes import free_port, running

# As long as a JWT of a few claims: it travels in every request.
TOKEN = "eyJhbGciOiJSUzI1NiJ9." + "bench" * 100

_ANSWER = json.dumps(
    {"success": True, "message": "ok", "data": [{"id": n, "amount": "12.50"} for n in range(10)]}
)
_ISSUED = json.dumps(
    {
        "success": True,
        "message": "API token issued successfully",
        "data": {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"},
    }
)
# Renewed every four seconds.
_ISSUED_SHORT = _ISSUED.replace("3600", "5")
BULK_BYTES = 256 * 1024 * 1024
BULK_FILE = "bulk"

_HTTP = """
  access_log off;
  default_type application/json;
  map_hash_bucket_size 1024;
  map $http_authorization $known {{ "Bearer {token}" 1; }}
  server {{
    listen 127.0.0.1:{sink_port};
    client_max_body_size 0;
    location / {{ return 204; }}
  }}
  server {{
    listen 127.0.0.1:{http_port};
    listen 127.0.0.1:{https_port} ssl;
    ssl_certificate server.pem;
    ssl_certificate_key server.pem;
    location = /auth/token/issue {{ return 200 '{issued}'; }}
    location = /auth/token/issue-short {{ return 200 '{issued_short}'; }}
    location = /v1/bulk {{
      if ($known = "") {{ return 401; }}
      alias {bulk};
    }}
    # nginx reads a body only where somebody wants it, and whole only into a buffer: so it is taken
    # for another server, which does not want it either.
    location = /v1/sink {{
      if ($known = "") {{ return 401; }}
      client_max_body_size 0;
      proxy_pass http://127.0.0.1:{sink_port};
    }}
    location / {{
      if ($known = "") {{ return 401; }}
      return 200 '{answer}';
    }}
  }}
"""


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """Where the API is."""

    http_port: int
    https_port: int
    ca_file: Path
    bulk_file: Path  # what GET /bulk answers with

    def port(self, scheme: Literal["http", "https"]) -> int:
        """Return the port on 127.0.0.1 where the API speaks *scheme*."""
        return self.http_port if scheme == "http" else self.https_port

    def authority(self, scheme: Literal["http", "https"]) -> str:
        """Return host and port as a URL has them: the certificate is for the name."""
        return f"localhost:{self.port(scheme)}"


@contextlib.contextmanager
def upstream(directory: Path, *, core: int) -> Iterator[Upstream]:
    """Run the API on *core* until the block ends."""
    directory.mkdir()
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(directory / "ca.pem"))
    ca.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(
        str(directory / "server.pem")
    )
    site = Upstream(
        http_port=free_port(),
        https_port=free_port(),
        ca_file=directory / "ca.pem",
        bulk_file=directory / BULK_FILE,
    )
    bulk = directory / BULK_FILE
    with bulk.open("wb") as file:
        file.write(os.urandom(1024 * 1024) * (BULK_BYTES // (1024 * 1024)))
    launch = nginx.launch(
        directory,
        _HTTP.format(
            token=TOKEN,
            answer=_ANSWER,
            issued=_ISSUED,
            issued_short=_ISSUED_SHORT,
            bulk=bulk,
            sink_port=free_port(),
            http_port=site.http_port,
            https_port=site.https_port,
        ),
    )
    log = directory / "output.log"
    with running(launch, core=core, port=site.http_port, log=log):
        yield site
