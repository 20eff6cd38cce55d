"""bearer-proxy: a local reverse proxy that adds a fresh bearer token to every request."""

__version__ = "0.1.0"
