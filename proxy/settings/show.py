"""The configuration in force, for a person's eyes: every key, redacted, with its origin."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.settings.checks import SECRET, SECRET_FILE
from proxy.settings.names import HIDDEN, KEYS
from proxy.settings.report import printable
from proxy.settings.secret import SecretKind

if TYPE_CHECKING:
    from proxy.settings.load import Loaded

_UNSET = "-"
_HIDDEN = "(hidden)"


@dataclass(frozen=True, slots=True)
class Row:
    """
    One key: *value* is what JSON can hold (None: not set), *shown* the same in a table.

    Neither ever has a secret in it; of a secret, and of the values that may be one, *value* says
    where they are.
    """

    key: str
    value: object
    shown: str
    source: str


def rows(loaded: "Loaded") -> Sequence[Row]:
    """Return every key in the model's order."""
    # A warning of the serializer would hold the value it is about.
    tables = loaded.settings.model_dump(mode="json", warnings=False)
    found = []
    for path, key in KEYS.items():
        value = _redacted(path, tables[key.table][key.name], loaded)
        found.append(Row(path, value, shown(value), str(loaded.provenance[path])))
    return found


def table(listed: Sequence[Row]) -> str:
    """Return the rows as an aligned table that ends in a newline."""
    cells = [("key", "value", "from")]
    cells += [(row.key, printable(row.shown), printable(row.source)) for row in listed]
    widths = [max(len(row[column]) for row in cells) for column in (0, 1)]
    lines = (f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}" for a, b, c in cells)
    return "\n".join(lines) + "\n"


def as_json(listed: Sequence[Row]) -> str:
    """Return the rows as one JSON object, ``{"table.key": {"value": …, "source": …}}``."""
    content = {row.key: {"value": row.value, "source": row.source} for row in listed}
    return json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n"


def _redacted(path: str, value: object, loaded: "Loaded") -> object:
    by_file = loaded.secret.kind in (SecretKind.FILE, SecretKind.CREDENTIAL)
    if path == (SECRET_FILE if by_file else SECRET):
        return f"({loaded.secret.description})"
    return hidden(value) if path in HIDDEN else value


def hidden(value: object) -> object:
    """Return *value*, which may be secret, with nothing in it but the names of a map."""
    if isinstance(value, Mapping):
        return dict.fromkeys(value, _HIDDEN)
    return value if value is None else _HIDDEN


def shown(value: object) -> str:
    """Return *value* as a cell of the table."""
    if value is None or value in ("", [], {}):
        return _UNSET
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={each}" for name, each in value.items())
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(str(each) for each in value)
    return str(value)
