"""From a configuration to the parts that it describes."""

import os
import resource
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from proxy.admin.connections import BOUNDS
from proxy.app import callers
from proxy.app.secret import ProtectedSecret
from proxy.dataplane import Address, Destination, Limits, Pool, Route
from proxy.policy import access
from proxy.policy.admission import Admission
from proxy.policy.callers import Callers
from proxy.policy.rules import Rules
from proxy.policy.target import Base, plain_path
from proxy.settings import SecretError
from proxy.settings.address import Address as ConfiguredAddress
from proxy.settings.address import InheritedAddress, TcpAddress, UnixAddress
from proxy.settings.load import Loaded
from proxy.settings.model import Listen, Settings
from proxy.settings.names import PREFIX
from proxy.tokens import CacheUnavailable, IssuerConfig, Tokens

_DEFAULT_PORTS = {"http": 80, "https": 443}
# Standard streams, event loop, listeners, issuer; and whoever asks the admin and ops listeners.
_OWN_DESCRIPTORS = 64 + 2 * BOUNDS.most
_LINGERING = 32  # as many clients as the former leave room for


# What a supervisor tells this process and no other: where secrets lie, and whom to notify.
_OTHERS = frozenset(
    ("CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS",
     "LISTEN_PID", "LISTEN_FDNAMES")
)  # fmt: skip


class StartError(Exception):
    """The proxy can't start though its configuration is valid; the text says what to do."""


def tls_context(settings: Settings) -> ssl.SSLContext:
    """
    Return what verifies upstream and issuer: the system's authorities, or the configured file's.

    StartError when the file is of no use. Not ``ssl.create_default_context``: that writes session
    keys wherever SSLKEYLOGFILE says.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        if settings.upstream.ca_file:
            context.load_verify_locations(cafile=settings.upstream.ca_file)
        else:
            context.load_default_certs()
    except (OSError, ssl.SSLError) as error:
        missing = isinstance(error, FileNotFoundError | PermissionError)
        reason = (error.strerror or "").lower() if missing else "no PEM certificates in it"
        raise StartError(
            f"cannot use upstream.ca_file {settings.upstream.ca_file}: {reason}"
        ) from None
    return context


def authorities(settings: Settings) -> str | None:
    """Return the PEM text of the configured file, None for the system's authorities."""
    if settings.upstream.ca_file is None:
        return None
    # Between the certificates anything may stand, in any encoding.
    return Path(settings.upstream.ca_file).read_bytes().decode("ascii", "ignore")


def without_secrets(environ: Mapping[str, str], loaded: Loaded) -> dict[str, str]:
    """Return *environ* for a process that is not to know the secret, nor where it is."""
    secret = ""
    with suppress(SecretError):
        secret = loaded.secret.read()
    return {
        name: text
        for name, text in environ.items()
        if not name.upper().startswith(PREFIX)
        and name not in _OTHERS
        and not (secret and secret in text)
    }


def trust_mark(settings: Settings) -> object:
    """Return what is another when ``tls_context`` would find other authorities than before."""
    system = ssl.get_default_verify_paths()
    configured = settings.upstream.ca_file
    return [
        _mark(each) for each in ([configured] if configured else [system.cafile, system.capath])
    ]


def _mark(path: Path | str | None) -> object:
    try:
        found = os.stat(path or "")
    except OSError:
        return path
    return path, found.st_ino, found.st_size, found.st_mtime_ns


def rules(settings: Settings) -> Rules:
    """Return what the verdict on a request depends on; StartError without its local tokens."""
    return Rules(
        base=_base(settings),
        admission=Admission(
            hosts=frozenset(host.encode("ascii") for host in settings.listen.allowed_hosts),
            origins=frozenset(each.encode("ascii") for each in settings.listen.allowed_origins),
        ),
        access=access.rules(
            methods=settings.allow.methods,
            allow_paths=settings.allow.paths,
            deny_paths=settings.deny.paths,
        ),
        callers=_callers(settings),
        head_fields=settings.limits.head_fields,
        target_bytes=settings.limits.target_bytes,
        body_bytes=settings.limits.body_bytes,
        mask_token=settings.upstream.mask_token_in_responses,
        send_via=settings.upstream.send_via,
        refuse_inbound=settings.token.inbound == "refuse",
    )


def _callers(settings: Settings) -> Callers:
    try:
        return callers.asked_for(settings.listen)
    except SecretError as error:
        raise StartError(f"cannot use listen.local_token_file: {error}") from None


def _base(settings: Settings) -> Base:
    upstream, issuer = urlsplit(settings.upstream.url), urlsplit(settings.token.url)
    same_server = (upstream.hostname, _port(settings.upstream.url)) == (
        issuer.hostname,
        _port(settings.token.url),
    )
    blocked = frozenset({plain_path(issuer.path.encode("ascii"))} if same_server else ())
    return Base(
        scheme=upstream.scheme.encode("ascii"),
        authority=upstream.netloc.encode("ascii"),
        path=upstream.path.rstrip("/").encode("ascii"),
        blocked=blocked,
    )


def route(settings: Settings, rules: Rules, *, tokens: Tokens, pool: Pool) -> Route:
    """Return all that belongs to the upstream, whose connections are *pool*'s."""
    return Route(
        rules=rules,
        credentials=tokens.cache,
        pool=pool,
        wait_seconds=settings.token.wait_seconds,
    )


def destination(settings: Settings, tls: ssl.SSLContext) -> Destination:
    """Return where the pool connects to."""
    return destination_of(settings.upstream.url, settings, tls)


def destination_of(address: str, settings: Settings, tls: ssl.SSLContext) -> Destination:
    """Return the server of the URL *address*, connected to as the upstream is."""
    url = urlsplit(address)
    return Destination(
        name=address,
        host=url.hostname or "",
        port=_port(address),
        tls=tls if url.scheme == "https" else None,
        connect_timeout_seconds=settings.upstream.connect_timeout_seconds,
        send_via=settings.upstream.send_via,
        connections=settings.upstream.connections,
        queue=settings.limits.queue,
    )


def descriptors() -> int:
    """Return how many connections the process may have, with some descriptors to spare."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(2, (soft if soft != resource.RLIM_INFINITY else 1 << 20) - _OWN_DESCRIPTORS)


def _port(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or _DEFAULT_PORTS[parts.scheme]


def limits(settings: Settings) -> Limits:
    """Return the data plane's bounds."""
    configured = settings.limits
    may_have = descriptors()
    upstream = min(settings.upstream.connections, may_have // 2)
    clients = min(configured.connections, may_have - upstream)
    return Limits(
        connections=clients,
        lingering=max(_LINGERING, may_have - upstream - clients),
        requests_per_connection=configured.requests_per_connection,
        queue_seconds=configured.queue_seconds,
        head_bytes=configured.head_bytes,
        head_seconds=configured.head_seconds,
        body_idle_seconds=configured.body_idle_seconds,
        keep_alive_seconds=configured.keep_alive_seconds,
        response_head_seconds=configured.response_head_seconds,
        response_idle_seconds=configured.response_idle_seconds,
        replay_max_bytes=settings.upstream.replay_max_bytes,
    )


def issuer(settings: Settings) -> IssuerConfig:
    """Return how tokens are asked for."""
    token = settings.token
    return IssuerConfig(
        url=token.url,
        client_id=token.client_id,
        request_format=token.request_format,
        client_auth=token.client_auth,
        scope=token.scope or "",
        extra=token.extra,
        headers=token.headers,
        access_token_pointer=token.access_token_pointer,
        expires_in_pointer=token.expires_in_pointer,
        error_code_pointer=token.error_code_pointer,
        error_codes=token.error_codes,
        timeout_seconds=token.timeout_seconds,
        default_lifetime_seconds=token.default_lifetime_seconds,
        retry_max_seconds=token.retry_max_seconds,
        flap_seconds=token.flap_seconds,
    )


def tokens(loaded: Loaded, tls: ssl.SSLContext) -> Tokens:
    """Return what keeps the token; StartError when ``token.cache_file`` can't work here."""
    with cache_file(loaded.settings) as path:
        return Tokens(
            issuer(loaded.settings), ProtectedSecret(loaded.secret), tls=tls, cache_file=path
        )


@contextmanager
def cache_file(settings: Settings) -> Iterator[Path | None]:
    """Give ``token.cache_file`` to the block; StartError when it can't work here."""
    path = settings.token.cache_file
    if path is not None and not path.parent.is_dir():
        raise StartError(
            f"cannot use token.cache_file: there is no directory {path.parent}; make it, for this"
            " user alone"
        )
    try:
        yield path
    except CacheUnavailable as error:
        raise StartError(f"cannot use token.cache_file: {error}") from None


def exposures(settings: Settings, bound: Iterable[str] = ()) -> Iterator[str]:
    """
    Say what is open beyond the loopback, a sentence for each address.

    *bound* are the data addresses in use, where they are known to differ from the configured ones.
    """
    configured = settings.listen.address
    for address, shown in zip(configured, list(bound) or map(str, configured), strict=True):
        if isinstance(address, TcpAddress) and not address.loopback:
            yield (
                f"everyone who reaches {shown} acts at {settings.upstream.url} as client"
                f" {settings.token.client_id}"
            )
    if settings.admin.address is not None and not settings.admin.address.loopback:
        yield f"everyone who reaches {settings.admin.address} sees the status page"


def addresses(listen: Listen) -> list[Address]:
    """Return the data plane's own form of the configured addresses."""
    return [_address(each, listen) for each in listen.address]


def _address(configured: ConfiguredAddress, listen: Listen) -> Address:
    if isinstance(configured, UnixAddress):
        return callers.socket_file(configured.path, listen)
    if isinstance(configured, InheritedAddress):
        return Address(fd=configured.descriptor)
    return Address(host=configured.host, port=configured.port)
