"""HAProxy with a fixed Authorization, one thread."""

from bench.peers.site import Site
from bench.processes import Launch
from bench.programs import found, of_debian
from bench.upstream import TOKEN

_CONFIG = """
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  http-reuse always
  timeout connect 5s
  timeout client 3600s
  timeout server 3600s
frontend local
  bind 127.0.0.1:{port}
  http-request set-header Host {authority}
  http-request set-header Authorization "Bearer {token}"
  http-request set-header Via "1.1 haproxy"
  unique-id-format %pid-%rt
  http-request set-header X-Request-Id %[unique-id] unless {{ req.hdr(x-request-id) -m found }}
  http-request set-path /v1%[path]
  default_backend api
backend api
  server api 127.0.0.1:{upstream_port} pool-max-conn 64 {tls}
"""


def launch(site: Site) -> Launch:
    """Write the configuration and say how to start HAProxy on *site*."""
    config = site.directory / "haproxy.cfg"
    tls = f"ssl verify required ca-file {site.upstream.ca_file} sni str(localhost)"
    config.write_text(
        _CONFIG.format(
            port=site.port,
            authority=site.upstream.authority(site.scheme),
            token=TOKEN,
            upstream_port=site.upstream.port(site.scheme),
            tls=tls if site.scheme == "https" else "",
        )
    )
    return Launch(command=[found("haproxy"), "-db", "-f", str(config)])


def missing() -> str:
    """Say what is not there, and how to get it; empty if all is."""
    return of_debian("haproxy", "haproxy")
