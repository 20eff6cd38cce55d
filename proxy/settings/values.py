"""
The types that configuration values have, with their checks.

A check raises ValueError with one phrase that can stand after the key's name. It repeats the value
only where the value cannot be a credential.
"""

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    Strict,
    WithJsonSchema,
)

from proxy.policy import access, headers
from proxy.settings.address import (
    Address,
    InheritedAddress,
    TcpAddress,
    UnixAddress,
    parse_address,
)
from proxy.settings.url import parse_base_url, parse_collector_url, parse_endpoint_url

Issue = Literal["rejected", "rate_limited", "unavailable"]

_T = TypeVar("_T")
_FORMS = "host:port, [ipv6]:port, unix:/path or fd:N"
# RFC 9110 section 5.6.2; section 5.5 for the values.
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE = re.compile(r"[\t -~\x80-\xff]*")
# The token request's own framing and addressing; a configured copy could only contradict it.
_OWN_FIELDS = frozenset({"connection", "content-length", "content-type", "host"}) | frozenset(
    {"transfer-encoding"}
)
# The credentials have keys of their own: there they are redacted, here they would be printed.
_OWN_PARAMETERS = frozenset({"client_id", "client_secret"})
_OWNER = re.compile(r"[A-Za-z0-9_.@-]+(:[A-Za-z0-9_.@-]+)?")
_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def _address(value: object) -> Address:
    if isinstance(value, TcpAddress | UnixAddress | InheritedAddress):
        return value
    if not isinstance(value, str):
        raise ValueError(f"must be a string: {_FORMS}")
    return parse_address(value)


def _tcp_or_off(value: object) -> TcpAddress | None:
    if value is None or value == "off":
        return None
    if not isinstance(value, str | TcpAddress) or str(value).startswith(("unix:", "fd:")):
        raise ValueError('must be "host:port" or "off"')
    address = _address(value)
    assert isinstance(address, TcpAddress)
    return address


def _addresses(value: object) -> tuple[Address, ...]:
    found = tuple(_address(each) for each in _one_or_many(value))
    if not found:
        raise ValueError("must name at least one address")
    fixed = [each for each in found if not (isinstance(each, TcpAddress) and each.port == 0)]
    for each in fixed:
        if fixed.count(each) > 1:
            raise ValueError(f"names {each} twice")
    return found


def _one_or_many(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _each(check: Callable[[str], str]) -> Callable[[object], tuple[str, ...]]:
    """Lift a check of one string to a list of them."""

    def whole(value: object) -> tuple[str, ...]:
        if not isinstance(value, list | tuple):
            raise ValueError("must be a list of strings")
        return tuple(check(_string(each)) for each in value)

    return whole


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a list of strings")
    return value


def _host(text: str) -> str:
    bare = text.lower().removesuffix(".")
    if text == "*":
        raise ValueError("cannot allow every host: any web page could then reach the credentials")
    if bare.startswith("[") and bare.endswith("]"):
        bare = bare[1:-1]
    if ":" in bare:
        try:
            return f"[{ipaddress.IPv6Address(bare)}]"
        except ValueError:
            raise ValueError(f"{text!r} is no host name; leave out scheme and port") from None
    if not _HOST_NAME.fullmatch(bare):
        raise ValueError(f"{text!r} is no host name; leave out scheme, path and wildcards")
    return bare


def _origin(text: str) -> str:
    if text in ("*", "null"):
        raise ValueError(f"cannot allow {text!r}: any web page could then use the credentials")
    match = _ORIGIN.fullmatch(text.lower())
    if match is None:
        raise ValueError(f"{text!r} is no origin; write scheme://host[:port] without a path")
    scheme, host, port = match.groups()
    if port is not None and not 1 <= int(port) <= 65535:
        raise ValueError(f"{text!r} has a port that is not from 1 to 65535")
    # Browsers leave the scheme's own port out of Origin (RFC 6454 section 6.1).
    return f"{scheme}://{host}" if port in (None, _DEFAULT_PORTS.get(scheme)) else text.lower()


def _method(text: str) -> str:
    if not _FIELD_NAME.fullmatch(text):
        raise ValueError(f"{text!r} is no method; write names such as GET")
    if text != text.upper():
        raise ValueError(f"{text!r}: methods are case-sensitive; {text.upper()} is meant")
    return text


def _pattern(text: str) -> str:
    access.pattern(text)
    return text


def _mode(text: str) -> str:
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise ValueError(f'{text!r} is no file mode; write it in octal, as "0660"')
    if int(text, 8) & 0o600 != 0o600:
        raise ValueError(f"{text!r} keeps the owner out, and with it the proxy's own user")
    return text.rjust(4, "0")


def _owner(text: str | None) -> str | None:
    if text is not None and not _OWNER.fullmatch(text):
        raise ValueError(f'{text!r} is neither "user" nor "user:group"')
    return text


def _uids(value: object) -> tuple[int, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list of user ids")
    return tuple(map(_uid, value))


def _uid(value: object) -> int:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,10}", value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**32 - 1:
        raise ValueError(f"{value!r} is no user id; write its number, as `id -u` prints it")
    return value


def _token_header(text: str) -> str:
    if not _FIELD_NAME.fullmatch(text):
        raise ValueError(f"{text!r} is no valid field name")
    if text.lower() not in ("authorization", "proxy-authorization"):
        _without_meaning(text)
    return text


def _required_header(text: str | None) -> str | None:
    if text is None:
        return None
    name, colon, value = text.partition(":")
    value = value.strip(" \t")
    if not _FIELD_NAME.fullmatch(name) or (colon and not value):
        raise ValueError('must be "Name" or "Name: value"')
    if not value.isascii() or not _FIELD_VALUE.fullmatch(value):
        raise ValueError("has a value with something other than printable ASCII in it")
    _without_meaning(name)
    return f"{name}: {value}" if colon else name


def _without_meaning(name: str) -> None:
    """Raise for a field that says something else to a proxy, or may not get as far as here."""
    if headers.kind_of(name.encode("ascii")) or "_" in name or name.lower() == "close":
        raise ValueError(f"{name} has another meaning already; name a field of your own")


def _unset_if_empty(value: object) -> object:
    return None if value == "" else value


def _identifier(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    if text != text.strip() or not text.isprintable():
        raise ValueError("has white space around it or control characters in it")
    return text


def _collector_url(text: str | None) -> str | None:
    return None if text is None else parse_collector_url(text)


def _scope(text: str | None) -> str | None:
    # RFC 6749 section 3.3: visible ASCII but for the quote and the backslash, blanks between.
    if text is not None and not re.fullmatch(r"[\x20\x21\x23-\x5b\x5d-\x7e]*", text):
        raise ValueError("must be names of visible ASCII with blanks between them")
    return text


def _pointer(text: str) -> str:
    if text and not text.startswith("/"):
        raise ValueError(f'{text!r} is no JSON pointer; it starts with "/", like /access_token')
    if re.search(r"~(?![01])", text):
        raise ValueError(f"{text!r} is no JSON pointer; a ~ is written ~0, a / in a name ~1")
    return text


def _path(path: Path | None) -> Path | None:
    if path is not None and "\0" in str(path):
        raise ValueError("cannot hold a NUL")
    return path


def _fields(fields: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in fields.items():
        if not _FIELD_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no valid field name")
        if name.lower() in _OWN_FIELDS:
            raise ValueError(f"{name} is set by the token request itself")
        if not _FIELD_VALUE.fullmatch(value):
            raise ValueError(f"the value of {name} holds a line end or another control character")
    return fields


def _parameters(parameters: Mapping[str, str]) -> Mapping[str, str]:
    for name in parameters:
        if name in _OWN_PARAMETERS:
            raise ValueError(f"{name} is set by token.{name}")
    return parameters


def _schema(**keywords: object) -> WithJsonSchema:
    return WithJsonSchema(dict(keywords))


_as_text = PlainSerializer(str, return_type=str)
_as_texts = PlainSerializer(lambda each: [str(a) for a in each], return_type=list[str])
_as_text_or_off = PlainSerializer(lambda a: "off" if a is None else str(a), return_type=str)
_strings = {"type": "array", "items": {"type": "string"}}

Addresses = Annotated[
    tuple[Address, ...],
    PlainValidator(_addresses),
    _as_texts,
    _schema(anyOf=[{"type": "string"}, {**_strings, "minItems": 1}]),
]
TcpOrOff = Annotated[
    TcpAddress | None, PlainValidator(_tcp_or_off), _as_text_or_off, _schema(type="string")
]
Hosts = Annotated[tuple[str, ...], BeforeValidator(_each(_host)), _schema(**_strings)]
Methods = Annotated[tuple[str, ...], BeforeValidator(_each(_method)), _schema(**_strings)]
Patterns = Annotated[tuple[str, ...], BeforeValidator(_each(_pattern)), _schema(**_strings)]
Origins = Annotated[tuple[str, ...], BeforeValidator(_each(_origin)), _schema(**_strings)]
Uids = Annotated[
    tuple[int, ...],
    BeforeValidator(_uids),
    _schema(type="array", items={"type": "integer", "minimum": 0}),
]
FileMode = Annotated[str, AfterValidator(_mode)]
Owner = Annotated[str | None, AfterValidator(_owner), BeforeValidator(_unset_if_empty)]
TokenHeader = Annotated[str, AfterValidator(_token_header)]
RequiredHeader = Annotated[
    str | None, AfterValidator(_required_header), BeforeValidator(_unset_if_empty)
]

BaseUrl = Annotated[str, AfterValidator(parse_base_url)]
EndpointUrl = Annotated[str, AfterValidator(parse_endpoint_url)]
CollectorUrl = Annotated[
    str | None, AfterValidator(_collector_url), BeforeValidator(_unset_if_empty)
]
Identifier = Annotated[str, AfterValidator(_identifier)]
Pointer = Annotated[str, AfterValidator(_pointer)]
Scope = Annotated[str | None, AfterValidator(_scope), BeforeValidator(_unset_if_empty)]
OptionalPath = Annotated[Path | None, AfterValidator(_path), BeforeValidator(_unset_if_empty)]
FieldMap = Annotated[Mapping[str, str], AfterValidator(_fields)]
ParameterMap = Annotated[Mapping[str, str], AfterValidator(_parameters)]
IssueMap = Mapping[str, Issue]


@dataclass(frozen=True, slots=True)
class Word:
    """A word that may stand where a number belongs, for what is read as text."""

    text: str


_MOST_WORKERS = 64


def _workers(found: object) -> object:
    return min(cores(), _MOST_WORKERS) if found == "auto" else found


def cores(quota: str | None = None) -> int:
    """
    Return how many cores this process may use: those of the machine, or what its group is allowed.

    *quota* is what stands in the control group's ``cpu.max``, which is looked up unless given.
    """
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        allowed, period = (quota or Path("/sys/fs/cgroup/cpu.max").read_text()).split()
        return max(1, min(here, -(-int(allowed) // int(period))))
    except (OSError, ValueError, ZeroDivisionError):
        return here  # no such group, or "max"


# Strict: a TOML string, boolean or fraction where a number belongs is a mistake, not a number.
Flag = Annotated[bool, Strict()]
Count = Annotated[int, Strict()]
Workers = Annotated[
    Annotated[int, Strict(), Field(ge=0, le=_MOST_WORKERS)],
    Word("auto"),
    BeforeValidator(_workers),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0, "maximum": _MOST_WORKERS}, {"const": "auto"}]}
    ),
]
Seconds = Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False)]
SecondsOrZero = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]
