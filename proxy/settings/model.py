"""
Every key there is: one model per TOML table, in the order of `config.example.toml`.

Rule 1: a mistyped key is an error at start, not a default in production.

Rule 2: a unit stands in the name, and a description says what the value changes for somebody.

Rule 3: a contradiction is refused; no key silently outranks another.

Rule 4: no input value is printed. Pydantic shows a wrong value's neighbours unless told not to.

Over 400 lines, for it is one list: whoever looks for a key, or for where one belongs, looks here.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from proxy.settings import profiles
from proxy.settings.address import TcpAddress
from proxy.settings.sources import Layer, LayerSource, ProfileSource
from proxy.settings.values import (
    Addresses,
    BaseUrl,
    CollectorUrl,
    Count,
    EndpointUrl,
    FieldMap,
    FileMode,
    Flag,
    Hosts,
    Identifier,
    IssueMap,
    Methods,
    OptionalPath,
    Origins,
    Owner,
    ParameterMap,
    Patterns,
    Pointer,
    RequiredHeader,
    Scope,
    Seconds,
    SecondsOrZero,
    TcpOrOff,
    TokenHeader,
    Uids,
    Workers,
)

_KIB, _MIB = 1024, 1024 * 1024


class Table(BaseModel):
    """What all tables share."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Listen(Table):
    """Where local requests arrive, and from whom."""

    address: Addresses = Field(
        (TcpAddress("127.0.0.1", 8080),),
        description="Where requests are accepted: `host:port`, `[::1]:port`, `unix:/path` or"
        " `fd:N`, one or a list. Whoever reaches it uses the credentials.",
    )
    allowed_hosts: Hosts = Field(
        (),
        description="Names accepted in `Host` besides localhost, the loopback and the address that"
        " was connected to. Others get 403, or a web page could reach the proxy by DNS rebinding.",
    )
    allowed_origins: Origins = Field(
        (),
        description="Browser origins, `scheme://host[:port]`, whose pages may call. Every other"
        " page gets 403.",
    )
    socket_mode: FileMode = Field(
        "0600",
        description="Mode of the file of a Unix socket, in octal. Whoever may write to it uses the"
        " credentials.",
    )
    socket_owner: Owner = Field(
        None,
        description="`user` or `user:group`, names or ids, that the file is given to. Unset: the"
        " proxy's own.",
    )
    allowed_uids: Uids = Field(
        (),
        description="Users, by id, who may connect to a Unix socket; the kernel says who it is."
        " Others get 403. Empty: whoever the file's mode lets in.",
    )
    local_token_file: OptionalPath = Field(
        None,
        description="File of tokens, each on a line as `name:token` or alone, of which a request"
        " must show one; others get 403. Its name is in the access log; the token goes no further.",
    )
    local_token_header: TokenHeader = Field(
        "Proxy-Authorization",
        description="Field that shows the local token: behind `Bearer` in `Proxy-Authorization` and"
        " `Authorization`, alone in any other.",
    )
    required_header: RequiredHeader = Field(
        None,
        description="`Name` or `Name: value` of a field without which a request gets 403: whoever"
        " makes an application fetch a URL can rarely add one. It goes no further.",
    )


class Allow(Table):
    """What callers may ask for, of all that the upstream offers."""

    methods: Methods = Field(
        (), description="Methods that pass, such as `GET` and `HEAD`; others get 403. Empty: all."
    )
    paths: Patterns = Field(
        (),
        description="Decoded paths that pass, relative to `upstream.url`: `*` is anything within a"
        " segment, `**` for any number of segments. Others get 403. Empty: all.",
    )


class Deny(Table):
    """What no caller may ask for; it outranks ``allow``."""

    paths: Patterns = Field(
        (),
        description="Paths that get 403, as in `allow.paths`, in any case and with all below them.",
    )


class Upstream(Table):
    """The API that requests are forwarded to."""

    url: BaseUrl = Field(
        description="Base URL. Its path is a prefix that requests cannot leave; plain http goes to"
        " the loopback only."
    )
    ca_file: OptionalPath = Field(
        None,
        description="PEM bundle to trust instead of the system's. Verification cannot be switched"
        " off.",
    )
    send_via: Flag = Field(
        True,
        description="Whether `Via` is added to both directions. Off where a server stops"
        " compressing when it sees one; loops then go unnoticed.",
    )
    mask_token_in_responses: Flag = Field(
        False,
        description="Whether a token that an answer repeats, in its head or body, is replaced by"
        " asterisks. The upstream is then asked for bodies without a content coding; one that has"
        " one all the same is not looked into, nor is a tunnel.",
    )
    connect_timeout_seconds: Seconds = Field(
        10.0,
        description="How long TCP and TLS may take before the request gets 504.",
    )
    connections: Count = Field(
        1024,
        ge=1,
        le=60_000,
        description="Most connections to the upstream, and so most requests in flight: HTTP/1.1"
        " answers one at a time. Further ones queue.",
    )
    replay_max_bytes: Count = Field(
        64 * _KIB,
        ge=0,
        le=16 * _MIB,
        description="Bodies up to this size are kept until answered, so that a request refused with"
        " 401 is sent again with a fresh token. Costs that much memory for each one in flight.",
    )


class Token(Table):
    """The issuer, and how it is asked."""

    profile: Literal["hashrails", "oauth2"] = Field(
        profiles.DEFAULT,
        description="Set of defaults for the keys marked *profile's*.",
    )
    url: EndpointUrl = Field(
        description="Where tokens are issued; plain http goes to the loopback only. `hashrails`:"
        " `<upstream.url>/auth/token/issue`."
    )
    client_id: Identifier = Field(
        description="Who asks. Required.",
    )
    client_secret: SecretStr | None = Field(
        None,
        description="The secret itself, best given by its environment variable. A file is safer:"
        " other processes of the same user can read an environment.",
    )
    client_secret_file: OptionalPath = Field(
        None,
        description="File that holds the secret, read again at every exchange; one trailing newline"
        " is stripped. Neither key set: `$CREDENTIALS_DIRECTORY/client_secret`, if there is one.",
    )
    request_format: Literal["json", "form"] = Field(
        description="Whether the token request is JSON or an HTML form."
    )
    client_auth: Literal["body", "basic"] = Field(
        description="Whether id and secret travel in the body or by HTTP Basic (RFC 6749 2.3.1)."
    )
    scope: Scope = Field(
        None,
        description="Scope to ask for, names separated by blanks. Unset: the issuer's default.",
    )
    extra: ParameterMap = Field(
        default_factory=dict,
        repr=False,
        description="Further parameters of the token request, such as `audience` or `resource`."
        " Values are never shown.",
    )
    headers: FieldMap = Field(
        default_factory=dict,
        repr=False,
        description="Further header fields of the token request. Values are never shown.",
    )
    access_token_pointer: Pointer = Field(
        description="JSON pointer (RFC 6901) to the token in the issuer's answer."
    )
    expires_in_pointer: Pointer = Field(
        description="JSON pointer to the lifetime in seconds. Absent from an answer: the JWT's"
        " `exp`, else `token.default_lifetime_seconds`."
    )
    error_code_pointer: Pointer = Field(
        description="JSON pointer to the code in the issuer's refusals."
    )
    error_codes: IssueMap = Field(
        description="What the issuer's codes mean: `rejected` stops asking until the credentials"
        " change, `rate_limited` and `unavailable` ask again later. Replaces the profile's map."
    )
    wait_seconds: SecondsOrZero = Field(
        5.0,
        description="How long a request waits for the first token before it gets 503. 0: not at"
        " all.",
    )
    timeout_seconds: Seconds = Field(
        10.0, description="How long one token request may take before it counts as failed."
    )
    default_lifetime_seconds: Seconds = Field(
        300.0,
        description="Lifetime assumed of a token whose answer and own content give none. Too long,"
        " and requests fail with the upstream's 401.",
    )
    retry_max_seconds: Seconds = Field(
        300.0, description="Longest pause between two attempts while the issuer keeps failing."
    )
    flap_seconds: SecondsOrZero = Field(
        60.0,
        description="How long 401s are passed on without asking for yet another token, after two"
        " fresh ones were refused.",
    )
    cache_file: OptionalPath = Field(
        None,
        description="File that keeps the token across restarts, encrypted with a key derived from"
        " the secret. Unset: every start asks the issuer.",
    )
    strict_permissions: Flag = Field(
        False,
        description="Whether a configuration or secret file that others than its owner can read is"
        " an error at start, not a warning.",
    )
    inbound: Literal["replace", "refuse"] = Field(
        "replace",
        description="What becomes of a client's own `Authorization`: replaced, or the request"
        " is refused. It is never forwarded.",
    )


class Limits(Table):
    """How much of anything a local client or the upstream may ask of the proxy."""

    connections: Count = Field(
        10_000,
        ge=1,
        description="Most client connections at a time; further ones get 503. The process'"
        " descriptors may allow fewer: each request takes two.",
    )
    requests_per_connection: Count = Field(
        0,
        ge=0,
        description="After so many requests a client's connection is closed, for load balancing."
        " 0: never.",
    )
    queue: Count = Field(
        1024,
        ge=0,
        description="Most requests that wait while all of `upstream.connections` are in use;"
        " further ones get 503.",
    )
    queue_seconds: Seconds = Field(
        5.0, description="How long a request waits in that queue; then 503."
    )
    head_bytes: Count = Field(
        64 * _KIB,
        ge=1 * _KIB,
        le=1 * _MIB,
        description="Largest request head; above it 431. Large cookies need room.",
    )
    head_fields: Count = Field(
        100, ge=1, le=10_000, description="Most header fields in a request; above it 431."
    )
    target_bytes: Count = Field(
        16 * _KIB,
        ge=128,
        le=1 * _MIB,
        description="Longest request target (path and query); above it 414.",
    )
    body_bytes: Count = Field(
        0, ge=0, description="Largest request body; above it 413. 0: no limit, bodies are streamed."
    )
    head_seconds: Seconds = Field(
        10.0,
        description="How long a client may take to send a request head; then 408.",
    )
    body_idle_seconds: Seconds = Field(
        60.0, description="How long a client may pause within a request body; then 408."
    )
    keep_alive_seconds: Seconds = Field(
        75.0,
        description="How long an idle client connection stays open. Longer than the client's own"
        " limit spares it failed requests.",
    )
    response_head_seconds: Seconds = Field(
        60.0, description="How long the upstream may take to begin its answer; then 504."
    )
    response_idle_seconds: Seconds = Field(
        300.0,
        description="How long the upstream may pause within an answer before the connection is cut."
        " Quiet event streams need more than their heartbeat.",
    )


class Drain(Table):
    """How the process ends."""

    timeout_seconds: SecondsOrZero = Field(
        25.0,
        description="How long requests in flight may go on after SIGTERM. Keep it under the grace"
        " period of whatever sends the signal.",
    )


class Process(Table):
    """How the work is divided."""

    workers: Workers = Field(
        0,
        description="Processes that serve clients, or `auto` for one per core: the secret and the"
        " issuer are then kept by another. 0: one process does everything.",
    )


class Admin(Table):
    """The status page."""

    address: TcpOrOff = Field(
        TcpAddress("127.0.0.1", 8081),
        description="Where status page, health, metrics and actions are served, or `off`.",
    )
    recent_requests: Count = Field(
        100,
        ge=0,
        le=1000,
        description="How many of the last requests the status page lists: method, path, status and"
        " times; never bodies, field or query values. 0: none are remembered.",
    )
    token_file: OptionalPath = Field(
        None,
        description="Where the admin token, which actions need, is written for `bearer-proxy"
        " status`, mode 0600. Unset: in `$XDG_RUNTIME_DIR` or the temporary directory.",
    )


class Ops(Table):
    """Health and metrics alone."""

    address: TcpOrOff = Field(
        None,
        description="Where health and metrics alone are served, for probes from outside the"
        " loopback, or `off`.",
    )


class Log(Table):
    """What is written while it runs."""

    format: Literal["auto", "console", "json"] = Field(
        "auto", description="`auto`: console on a terminal, else JSON on stdout."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe event that is written."
    )
    access: Literal["all", "errors", "off"] = Field(
        "all",
        description="Which requests get a line: all, those answered with 4xx or 5xx, or none.",
    )


class Tracing(Table):
    """Spans for an OpenTelemetry collector; the standard's variables say all else."""

    enabled: Flag = Field(
        False,
        description="Whether spans are sent, and the upstream is told that this hop is its parent."
        " Off, `traceparent` and `tracestate` pass untouched. Needs the extra `otel`.",
    )
    endpoint: CollectorUrl = Field(
        None,
        description="The collector, spoken to by OTLP over HTTP: its URL, to which `/v1/traces` is"
        " added. Unset: `OTEL_EXPORTER_OTLP_ENDPOINT`, else `http://localhost:4318`.",
    )


class Settings(BaseSettings):
    """
    The whole configuration, validated; what a profile leaves to be filled in is filled in.

    Made by ``proxy.settings.load``, which also knows where each value came from.
    """

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        # The naming rule: BEARER_PROXY_TABLE_KEY, split once, so that a key may hold underscores.
        env_prefix="BEARER_PROXY_",
        env_nested_delimiter="_",
        env_nested_max_split=1,
        env_ignore_empty=False,
    )

    listen: Listen = Field(default_factory=Listen)
    allow: Allow = Field(default_factory=Allow)
    deny: Deny = Field(default_factory=Deny)
    upstream: Upstream
    token: Token
    limits: Limits = Field(default_factory=Limits)
    drain: Drain = Field(default_factory=Drain)
    process: Process = Field(default_factory=Process)
    admin: Admin = Field(default_factory=Admin)
    ops: Ops = Field(default_factory=Ops)
    log: Log = Field(default_factory=Log)
    tracing: Tracing = Field(default_factory=Tracing)

    def __init__(self, *, flags: Layer, environment: Layer, file: Layer) -> None:
        super().__init__(flags=flags, environment=environment, file=file)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Rank what ``__init__`` was given; pydantic's readers stop at their first mistake."""
        assert isinstance(init_settings, InitSettingsSource)
        given: Mapping[str, Layer] = init_settings.init_kwargs
        flags, environment, file = (
            LayerSource(settings_cls, given[name]) for name in ("flags", "environment", "file")
        )
        return flags, environment, file, ProfileSource(settings_cls)
