"""A configuration that can't be used, for a person's eyes: what was given, and what is wrong."""

from collections.abc import Mapping, Sequence

from proxy.settings import profiles, reference
from proxy.settings.checks import SECRET_FILE
from proxy.settings.layers import DEFAULT, Layers
from proxy.settings.names import HIDDEN, KEYS, Key
from proxy.settings.report import Problem
from proxy.settings.secret import named
from proxy.settings.show import Row, hidden, shown

_INVALID = "(invalid)"


def rows(layers: Layers, problems: Sequence[Problem]) -> Sequence[Row]:
    """
    Return every key in the model's order, as ``show.rows`` does for one that can be used.

    A value that is complained of is not shown: it may be a secret in the wrong place.
    """
    wrong = {each.key: each.place for each in problems}
    otherwise = dict(_defaults(layers))
    if "upstream.url" in wrong:
        otherwise["token.url"] = None  # it would be made of that
    found = []
    for path, key in KEYS.items():
        origin = layers.origin(path)
        if layers.refused(path) or (path in wrong and origin is not DEFAULT):
            place = wrong.get(path, "") if origin is DEFAULT else str(origin)
            found.append(Row(path, None, _INVALID, place))
        elif origin is DEFAULT:
            value = otherwise[path]
            source = "profile" if key.field.is_required() and value is not None else str(origin)
            found.append(Row(path, value, shown(value), wrong.get(path, source)))
        else:
            value = _redacted(key, layers.value(path))
            found.append(Row(path, value, shown(value), str(origin)))
    return found


def _defaults(layers: Layers) -> Mapping[str, object]:
    """Return what holds where nothing was given, as far as that is known."""
    profile = layers.value("token.profile") or profiles.DEFAULT
    tables = profiles.defaults(profile, layers.value("upstream.url"))
    values = dict(reference.defaults())
    for path, key in KEYS.items():
        if key.field.is_required():
            value = tables.get(key.table, {}).get(key.name)
            values[path] = dict(value) if isinstance(value, Mapping) else value
    return values


def _redacted(key: Key, value: object) -> object:
    if key.path == SECRET_FILE and isinstance(value, str):
        return named(value)
    return hidden(value) if key.path in HIDDEN else value
