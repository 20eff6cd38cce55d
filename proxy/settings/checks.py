"""What can be wrong although every key by itself is right."""

import socket
import ssl
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

from pydantic import SecretStr

from proxy.settings.address import Address, TcpAddress
from proxy.settings.callers import local_tokens, owners
from proxy.settings.layers import Layers
from proxy.settings.model import Settings
from proxy.settings.names import KEYS
from proxy.settings.report import NOT_SET, Problem
from proxy.settings.secret import SecretError, SecretKind, SecretSource, reason

SECRET, SECRET_FILE = "token.client_secret", "token.client_secret_file"
# What the extra "otel" brings; it is not imported to find out.
_EXPORTER = "opentelemetry.exporter.otlp.proto.http"
CREDENTIAL = "$CREDENTIALS_DIRECTORY/client_secret"


def secret_source(
    layers: Layers, environ: Mapping[str, str], problems: list[Problem]
) -> SecretSource | None:
    """Return where the secret is, having read it once; None when *problems* now says why not."""
    value, file = layers.value(SECRET), layers.value(SECRET_FILE)
    place, file_place = layers.origin(SECRET).place, layers.origin(SECRET_FILE).place
    if value is not None and file is not None:
        message = f"contradicts token.client_secret_file ({file_place}); remove one of the two"
        problems.append(Problem(place, SECRET, message))
        return None
    if isinstance(value, SecretStr):
        in_file = layers.origin(SECRET).kind == "file"
        kind = SecretKind.CONFIG if in_file else SecretKind.VARIABLE
        return _readable(SecretSource(kind, place, value), place, SECRET, problems)
    if isinstance(file, str):
        source = SecretSource(SecretKind.FILE, file)
        return _readable(source, file_place, SECRET_FILE, problems)
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if directory and (credential := Path(directory, "client_secret")).exists():
        source = SecretSource(SecretKind.CREDENTIAL, str(credential))
        return _readable(source, CREDENTIAL, SECRET, problems)
    elsewhere = file is not None or layers.refused(SECRET) or layers.refused(SECRET_FILE)
    if layers.complete and not elsewhere:
        problems.append(_missing_secret(place or file_place))
    return None


def contradictions(settings: Settings, layers: Layers) -> Iterable[Problem]:
    """Yield the problems that need more than one key, or the world outside, to be seen."""
    yield from _same_addresses(settings, layers)
    yield from _unusable_ca(settings, layers)
    yield from _callers(settings, layers)
    yield from _missing_extra(settings, layers)
    token = settings.token
    if token.client_auth == "basic" and "authorization" in map(str.lower, token.headers):
        message = 'Authorization is set by token.client_auth "basic"'
        yield Problem(layers.origin("token.headers").place, "token.headers", message)


def _readable(
    source: SecretSource, place: str, key: str, problems: list[Problem]
) -> SecretSource | None:
    try:
        source.read()
    except SecretError as error:
        problems.append(Problem(place, key, str(error)))
        return None
    return source


def _missing_secret(place: str) -> Problem:
    message = (
        f"required: set {KEYS[SECRET_FILE].variable}=/path/to/file, {KEYS[SECRET].variable},"
        " or [token] client_secret_file; with systemd, LoadCredential=client_secret:/path/to/file"
    )
    return Problem(place or NOT_SET, SECRET, f"empty; {message}" if place else message)


def _same_addresses(settings: Settings, layers: Layers) -> Iterable[Problem]:
    used: list[tuple[str, Address | None]] = [
        *(("listen.address", each) for each in settings.listen.address),
        ("admin.address", settings.admin.address),
        ("ops.address", settings.ops.address),
    ]
    for (first, one), (second, other) in combinations(used, 2):
        free = isinstance(one, TcpAddress) and one.port == 0
        if first != second and one == other is not None and not free:
            place = layers.origin(second).place or layers.origin(first).place
            yield Problem(place, second, f"{other} is already {first}")


def _callers(settings: Settings, layers: Layers) -> Iterable[Problem]:
    """Yield what keeps the keys about callers from meaning what they say."""
    listen = settings.listen

    def problem(key: str, message: str) -> Problem:
        return Problem(layers.origin(f"listen.{key}").place, f"listen.{key}", message)

    try:
        owners(listen.socket_owner)
    except ValueError as error:
        yield problem("socket_owner", str(error))
    if listen.allowed_uids:
        if not hasattr(socket, "SO_PEERCRED"):
            yield problem("allowed_uids", "this system does not tell who is at a Unix socket")
        for address in listen.address:
            if isinstance(address, TcpAddress):
                message = f"nobody could use {address}: only at a Unix socket is a user known"
                yield problem("allowed_uids", message)
    if listen.local_token_file is None:
        return
    try:
        local_tokens(listen.local_token_file)
    except SecretError as error:
        yield problem("local_token_file", str(error))
    field = listen.local_token_header.lower()
    if field == "authorization" and settings.token.inbound == "refuse":
        yield problem("local_token_header", 'Authorization is refused by token.inbound "refuse"')
    if field == (listen.required_header or "").partition(":")[0].lower():
        yield problem("required_header", f"{listen.local_token_header} shows the local token")


def _missing_extra(settings: Settings, layers: Layers) -> Iterable[Problem]:
    if not settings.tracing.enabled:
        return
    try:
        missing = find_spec(_EXPORTER) is None
    except ModuleNotFoundError:
        missing = True
    if missing:
        message = "OpenTelemetry is missing: pip install 'bearer-proxy[otel]'"
        yield Problem(layers.origin("tracing.enabled").place, "tracing.enabled", message)


def _unusable_ca(settings: Settings, layers: Layers) -> Iterable[Problem]:
    path = settings.upstream.ca_file
    if path is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        message = f"{path} holds no certificate in PEM form"
    except OSError as error:
        message = f"cannot read {path}: {reason(error)}"
    else:
        return
    yield Problem(layers.origin("upstream.ca_file").place, "upstream.ca_file", message)
