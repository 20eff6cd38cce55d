"""Caddy's ``reverse_proxy`` with a fixed Authorization, on one processor."""

from bench.peers.site import Site
from bench.processes import Launch
from bench.programs import found, in_environment
from bench.upstream import TOKEN

_CONFIG = """
{{
  admin off
  auto_https off
  persist_config off
}}
http://127.0.0.1:{port} {{
  rewrite * /v1{{uri}}
  reverse_proxy {scheme}://{authority} {{
    header_up Host {authority}
    header_up Authorization "Bearer {token}"
    header_up X-Request-Id {{http.request.uuid}}
    header_up -X-Forwarded-For
    header_up -X-Forwarded-Host
    header_up -X-Forwarded-Proto
    transport http {{
      versions 1.1
      compression off
      keepalive_idle_conns_per_host 64
      {tls}
    }}
  }}
}}
"""


def launch(site: Site) -> Launch:
    """Write the configuration and say how to start Caddy on *site*."""
    config = site.directory / "Caddyfile"
    tls = f"tls_trust_pool file {site.upstream.ca_file}" if site.scheme == "https" else ""
    config.write_text(
        _CONFIG.format(
            port=site.port,
            scheme=site.scheme,
            authority=site.upstream.authority(site.scheme),
            token=TOKEN,
            tls=tls,
        )
    )
    return Launch(
        command=[found("caddy"), "run", "--config", str(config), "--adapter", "caddyfile"],
        environment={"GOMAXPROCS": "1", "XDG_CONFIG_HOME": str(site.directory)},
    )


def missing() -> str:
    """Say what is not there, and how to get it; empty if all is."""
    return in_environment("caddy")
