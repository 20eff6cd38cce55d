"""The proxies that are compared. Each is a name and a way to start it; a further one is a row."""

from bench.peers import aiohttp_idiom, nginx, product
from bench.peers.site import Peer

PEERS: dict[str, Peer] = {
    "nginx": nginx.launch,
    "bearer-proxy": product.launch,
    "aiohttp": aiohttp_idiom.launch,
}
