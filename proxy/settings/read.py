"""
From file, environment and flags to layers of values, each value with its origin.

Whatever cannot be read becomes a problem in a list and the reading goes on, so that a person sees
everything at once. The secret is wrapped the moment it is met; nothing behind this module can print
it, whatever it does with a layer.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from pydantic import SecretStr

from proxy.settings.lines import key_lines
from proxy.settings.names import (
    CONFIG_VARIABLE,
    KEYS,
    PREFIX,
    VARIABLES,
    Key,
    closest,
    flag,
    suggestion,
)
from proxy.settings.report import Problem
from proxy.settings.secret import reason
from proxy.settings.values import Word

# Larger than any configuration, smaller than a mistake like /dev/zero.
_FILE_BYTES = 1024 * 1024
_POSITION = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_PLAINER = {
    "Invalid value": "invalid value; text needs quotes",
    "Cannot overwrite a value": "the key is given twice",
}
_TRUE, _FALSE = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})
# Kubernetes gives every pod variables for each Service of its namespace; for one that is called
# bearer-proxy they carry our prefix. They are nobody's mistake.
_SERVICE_LINK = re.compile(
    r"BEARER_PROXY_(?:\w+_)?"
    r"(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_SERVICE_LINK_PORT = re.compile(r"BEARER_PROXY_(?:\w+_)?PORT")
_LINK_URL = re.compile(r"(?:tcp|udp|sctp)://[0-9.:\[\]a-f]+")
# What `exec` gives its command, which may start a proxy itself. With another value than such a one
# it is somebody's mistake for a key.
_OF_EXEC = re.compile(
    r"BEARER_PROXY_URL=http://127\.0\.0\.1:\d+|BEARER_PROXY_SOCKET=/.+/proxy\.sock", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from: *kind* is flag, env, file, profile, credential or default."""

    kind: str
    place: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.place}".rstrip()


@dataclass(slots=True)
class Read:
    """
    One layer, by table and key, with the origin of every value by ``table.key``.

    *refused* are the keys that were given and could not be read: they are not missing.
    """

    values: dict[str, dict[str, object]] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    def put(self, key: Key, value: object, origin: Origin) -> None:
        """Take *value*; the secret goes under cover, a map becomes one that is not merged."""
        if key.path == "token.client_secret" and isinstance(value, str):
            value = SecretStr(value)
        elif isinstance(value, dict):
            value = MappingProxyType(value)
        self.values.setdefault(key.table, {})[key.name] = value
        self.origins[key.path] = origin


def read_flags(flags: Mapping[str, str], problems: list[Problem]) -> Read:
    """Read *flags*, texts by ``table.key``."""
    layer = Read()
    for path, text in flags.items():
        _put_text(layer, KEYS[path], text, Origin("flag", flag(path)), problems)
    return layer


def read_environment(environ: Mapping[str, str], problems: list[Problem]) -> Read:
    """Read the variables that carry our prefix and refuse those that mean nothing."""
    layer = Read()
    for name, text in environ.items():
        if not name.upper().startswith(PREFIX) or name == CONFIG_VARIABLE:
            continue
        if name in VARIABLES:
            _put_text(layer, VARIABLES[name], text, Origin("env", name), problems)
        elif not _is_service_link(name, text) and not _OF_EXEC.fullmatch(f"{name}={text}"):
            meant = closest(name.upper(), [*VARIABLES, CONFIG_VARIABLE])
            hint = "" if meant is None else f"; did you mean {meant}?"
            problems.append(Problem(name, "", f"unknown variable{hint}"))
    return layer


def read_file(path: str | None, problems: list[Problem]) -> Read:
    """Read the TOML file at *path*, or nothing when there is none."""
    layer = Read()
    text = None if path is None else _file_text(path, problems)
    if path is None or text is None:
        return layer
    tables = _parsed(path, text, problems)
    lines = key_lines(text) if tables else {}
    for table, content in tables.items():
        place = f"{path}:{lines.get((table,), 1)}"
        if not isinstance(content, dict) or table not in {key.table for key in KEYS.values()}:
            problems.append(_wrong_table(place, table, content))
            continue
        for name, value in content.items():
            place = f"{path}:{lines.get((table, name), 1)}"
            if (key := KEYS.get(f"{table}.{name}")) is None:
                message = f"unknown key{suggestion(table, name)}"
                problems.append(Problem(place, f"{table}.{name}", message))
            elif key.path == "token.client_secret" and not isinstance(value, str):
                problems.append(Problem(place, key.path, "must be a string"))
                layer.refused.add(key.path)
            else:
                layer.put(key, value, Origin("file", place))
    return layer


def _is_service_link(name: str, text: str) -> bool:
    if _SERVICE_LINK.fullmatch(name):
        return True
    return bool(_SERVICE_LINK_PORT.fullmatch(name) and _LINK_URL.fullmatch(text))


def _wrong_table(place: str, table: str, content: object) -> Problem:
    tables = {key.table for key in KEYS.values()}
    if table in tables:
        return Problem(place, table, f"must be a table: write [{table}] and its keys below")
    if isinstance(content, dict):
        meant = closest(table, tables)
        return Problem(
            place, table, "unknown table" + ("" if meant is None else f"; did you mean [{meant}]?")
        )
    return Problem(place, table, f"unknown key{suggestion('', table)}")


def _put_text(layer: Read, key: Key, text: str, origin: Origin, problems: list[Problem]) -> None:
    try:
        text.encode()
        value = _value(key, text)
    except UnicodeEncodeError:
        message = "is not UTF-8 text"
    except ValueError as error:
        message = str(error)
    else:
        layer.put(key, value, origin)
        return
    problems.append(Problem(origin.place, key.path, message))
    layer.refused.add(key.path)


def _value(key: Key, text: str) -> object:
    """Turn the text of a variable or flag into what TOML would have given."""
    if key.kind is bool:
        return _boolean(text)
    if key.kind in (int, float):
        return _number(key, text)
    if key.kind is list:
        return _list(text)
    return _map(text) if key.kind is dict else text


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(f"must be true or false, not {text!r}")
    return word in _TRUE


def _number(key: Key, text: str) -> int | float | str:
    if Word(text.strip()) in key.field.metadata:
        return text.strip()
    with suppress(ValueError):
        return int(text)
    if key.kind is float:
        with suppress(ValueError):
            return float(text)
    what = "a number" if key.kind is float else "a whole number"
    raise ValueError(f"must be {what}, not {text!r}")


def _list(text: str) -> list[object]:
    """Read a JSON list, or texts between commas; ``[::1]:8080`` is the latter."""
    if text.lstrip().startswith("["):
        with suppress(ValueError, RecursionError):
            value = json.loads(text)
            if isinstance(value, list):
                return value
    return [part.strip() for part in text.split(",") if part.strip()]


def _map(text: str) -> dict[str, object]:
    # The parser's complaint holds the text, and with it what may be a credential.
    with suppress(ValueError, RecursionError):
        value = json.loads(text)
        if isinstance(value, dict):
            return value
    raise ValueError('must be a JSON object, for example {"name": "value"}')


def _file_text(path: str, problems: list[Problem]) -> str | None:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else "not a valid path"
        problems.append(Problem(path, "", f"cannot be read: {why}"))
        return None
    if len(content) > _FILE_BYTES:
        problems.append(Problem(path, "", f"is larger than {_FILE_BYTES} bytes"))
        return None
    # Windows editors begin a UTF-8 file with a mark of it, and PowerShell writes UTF-16.
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        problems.append(Problem(path, "", "is UTF-16 text; save it as UTF-8"))
        return None
    with suppress(UnicodeDecodeError):
        return content.decode("utf-8-sig")
    problems.append(Problem(path, "", "is not UTF-8 text"))
    return None


def _parsed(path: str, text: str, problems: list[Problem]) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, line = str(error), text.rstrip().count("\n") + 1
        if position := _POSITION.search(message):
            message = message[: position.start()]
            line = int(position[1] or line)
        message = _PLAINER.get(message, message)
        place = f"{path}:{line}"
    except (ValueError, RecursionError):
        message, place = "a number is too long, or brackets are nested too deeply", path
    problems.append(Problem(place, "", f"not valid TOML: {message[:1].lower()}{message[1:]}"))
    return {}
