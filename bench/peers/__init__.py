"""The proxies that are compared. Each is a name and a way to start it; a further one is a row."""

from bench.peers import aiohttp_idiom, caddy, envoy, golang, haproxy, nginx, product
from bench.peers.site import Peer

PEERS: dict[str, Peer] = {
    "nginx": Peer("the yardstick, without an access log", nginx.launch),
    "bearer-proxy": Peer("this one, in its default configuration", product.launch),
    "haproxy": Peer("a thread, without a log", haproxy.launch, haproxy.missing),
    "envoy": Peer("with its credential injector", envoy.launch, envoy.missing),
    "go": Peer("the standard library's ReverseProxy", golang.launch, golang.missing),
    "caddy": Peer("its reverse_proxy", caddy.launch, caddy.missing),
    "aiohttp": Peer("the idiomatic proxy of server and client", aiohttp_idiom.launch),
    "unlogged": Peer("this one, without an access log", product.launch_unlogged),
    "two-workers": Peer("this one, as three processes", product.launch_two_workers),
}
