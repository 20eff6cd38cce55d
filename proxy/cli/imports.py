"""What makes a start quick besides: imports that leave out what is not needed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

# Where OpenSSL looks for the system's authorities, for whoever asks it to.
_PLACES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


@contextmanager
def without_authorities() -> Iterator[None]:
    """
    Import aiohttp in this block, before there is a second thread.

    It begins with reading the system's authorities twice, for TLS contexts of its own: 40 ms of
    the start. Ours is given to it (``compose.tls_context``), so those are never used. Here
    they find no authority; should one be used after all, it trusts nobody.
    """
    before = {name: os.environ.get(name) for name in _PLACES}
    os.environ.update(dict.fromkeys(_PLACES, os.devnull))
    try:
        yield
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value
