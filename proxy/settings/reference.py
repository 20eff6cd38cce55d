"""The configuration as documentation: a row for every key, and the JSON Schema of the file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.settings.model import Settings
from proxy.settings.names import KEYS

_NONE, _PROFILES = "-", "profile's"


@dataclass(frozen=True, slots=True)
class Row:
    """
    What documentation says of a key.

    *default* is TOML, ``profile's`` where the profile decides, or ``-`` where there is none.
    """

    key: str
    default: str
    description: str


def rows() -> Sequence[Row]:
    """Return every key in the model's order."""
    found = []
    for path, value in defaults().items():
        field = KEYS[path].field
        default = _PROFILES if field.is_required() and value is not None else toml(value)
        found.append(Row(path, default, field.description or ""))
    return found


def defaults() -> Mapping[str, object]:
    """
    Return every key's default as TOML could hold it, by ``table.key``; None where there is none.

    Those that a profile decides are the default profile's.
    """
    tables = Settings(flags={}, environment={"token": {"client_id": "-"}}, file={}).model_dump(
        mode="json"
    )
    tables["token"]["client_id"] = None
    return {path: tables[key.table][key.name] for path, key in KEYS.items()}


def toml(value: object) -> str:
    """Return *value* as TOML writes it, and a dash for None."""
    if value is None:
        return _NONE
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {toml(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list) and len(value) == 1:
        return toml(value[0])
    return json.dumps(value, ensure_ascii=False)


def markdown() -> str:
    """Return the rows as the Markdown table that the README holds, ending in a newline."""
    lines = ["| key | default | meaning |", "|---|---|---|"]
    for row in rows():
        default = row.default if row.default in (_NONE, _PROFILES) else f"`{row.default}`"
        # A bar ends a cell even within a code span (GitHub Flavored Markdown 4.10).
        cells = (each.replace("|", "\\|") for each in (f"`{row.key}`", default, row.description))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def schema() -> str:
    """Return the JSON Schema (2020-12) of the file, ending in a newline."""
    content: dict[str, Any] = Settings.model_json_schema(mode="validation")
    # What the model requires may come from a profile or the environment: no file has to have it.
    content.pop("required", None)
    for table in content["$defs"].values():
        table.pop("required", None)
    for path, value in defaults().items():
        table, _, name = path.partition(".")
        if value is not None:
            _table_schema(content, table)["properties"][name]["default"] = value
    content["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _table_schema(content: dict[str, Any], table: str) -> dict[str, Any]:
    reference: str = content["properties"][table]["$ref"]
    found: dict[str, Any] = content["$defs"][reference.removeprefix("#/$defs/")]
    return found
