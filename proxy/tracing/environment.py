"""The standard's variables, as far as they are ours to understand; the SDK reads the others."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

_DEFAULT = "http://localhost:4318"
_PATH = "/v1/traces"
_PORTS = {"http": 80, "https": 443}
_SPOKEN = "http/protobuf"
_NO_URL = "OTEL_EXPORTER_OTLP_ENDPOINT is not a URL of http or https"
_HEADERS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


class Unusable(Exception):
    """A variable or a key that tracing can't work with; the text says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Destination:
    """
    The collector: *url* is where spans are sent, *shown* the same for people, without credentials.

    *secrets* are the values of the header fields that go with them, and a password in the URL.
    """

    url: str
    shown: str
    host: str
    port: int
    secrets: tuple[str, ...]

    @property
    def encrypted(self) -> bool:
        """Whether nobody on the way can read what is sent."""
        return self.url.startswith("https:")


def disabled(environ: Mapping[str, str]) -> bool:
    """Tell whether the environment switches OpenTelemetry off, whatever the configuration says."""
    return environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def destination(configured: str | None, environ: Mapping[str, str]) -> Destination:
    """
    Return where spans go: to *configured*, the collector's URL, else where *environ* says.

    Unusable for what is no URL, and for a protocol that is not spoken here.
    """
    url = _url(configured, environ)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise Unusable(_NO_URL) from None
    if parts.scheme not in _PORTS or not host:
        raise Unusable(_NO_URL)
    authority = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    secrets = tuple(_secrets(environ))
    return Destination(
        url=url,
        shown=f"{parts.scheme}://{authority}{parts.path}",
        host=host,
        port=port or _PORTS[parts.scheme],
        secrets=(*secrets, parts.password) if parts.password else secrets,
    )


def _url(configured: str | None, environ: Mapping[str, str]) -> str:
    if configured is not None:
        return configured if configured.endswith(_PATH) else configured.removesuffix("/") + _PATH
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), _SPOKEN)
    if protocol != _SPOKEN:
        raise Unusable(
            f"OTEL_EXPORTER_OTLP_PROTOCOL asks for another protocol than {_SPOKEN}, which is the"
            " one spoken here; set tracing.endpoint (BEARER_PROXY_TRACING_ENDPOINT) to the"
            " collector's address for that, usually at port 4318"
        )
    if whole := environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        return whole
    base = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or _DEFAULT
    return base.removesuffix("/") + _PATH


def _secrets(environ: Mapping[str, str]) -> Iterator[str]:
    for name in _HEADERS:
        for field in environ.get(name, "").split(","):
            value = field.partition("=")[2].strip()
            yield from (value, unquote(value)) if value else ()
