"""One rule for names: ``[table] key`` = ``BEARER_PROXY_TABLE_KEY`` = ``--table-key``."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from proxy.settings.model import Settings

PREFIX: str = Settings.model_config["env_prefix"]
CONFIG_VARIABLE = f"{PREFIX}CONFIG"

# Their values may be credentials. Nothing that is printed, a complaint included, shows them.
HIDDEN = frozenset({"token.client_secret", "token.extra", "token.headers"})


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the configuration under its three names."""

    table: str
    name: str
    field: FieldInfo

    @property
    def path(self) -> str:
        """``table.key``, as documentation and reports have it."""
        return f"{self.table}.{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"{PREFIX}{self.table}_{self.name}".upper()

    @property
    def flag(self) -> str:
        """The flag, for those keys that have one."""
        return flag(self.path)

    @property
    def kind(self) -> type:
        """How its text is read: bool, int, float, list, dict, or str for everything else."""
        annotation = self.field.annotation
        if annotation in (bool, int, float):
            return annotation  # type: ignore[return-value]
        origin = get_origin(annotation)
        if origin is tuple:
            return list
        return dict if isinstance(origin, type) and issubclass(origin, Mapping) else str


def flag(path: str) -> str:
    """Return the flag of the key *path*."""
    return "--" + path.replace(".", "-").replace("_", "-")


def _keys() -> Iterable[Key]:
    for table, field in Settings.model_fields.items():
        model = field.annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        for name, leaf in model.model_fields.items():
            yield Key(table, name, leaf)


KEYS: Mapping[str, Key] = MappingProxyType({key.path: key for key in _keys()})
VARIABLES: Mapping[str, Key] = MappingProxyType({key.variable: key for key in KEYS.values()})


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the one of *known* that *word* was probably meant to be."""
    candidates = list(known)
    begun = [each for each in candidates if len(word) >= 4 and each.startswith(word)]
    if len(begun) == 1:
        return begun[0]
    return next(iter(difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)), None)


def suggestion(table: str, name: str) -> str:
    """Say, as the end of a sentence, which key ``[table] name`` was probably meant to be."""
    here = closest(name, (key.name for key in KEYS.values() if key.table == table))
    elsewhere = [key for key in KEYS.values() if key.name == name]
    if len(elsewhere) == 1:
        return f"; it belongs to [{elsewhere[0].table}]"
    return "" if here is None else f'; did you mean "{here}"?'
