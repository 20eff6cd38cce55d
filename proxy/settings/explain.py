"""
From pydantic's errors to problems that a person can put right.

Pydantic is asked for kind and place only. The value shown is looked up in the layers, and only for
keys whose values cannot be a credential.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from proxy.settings.layers import Layers
from proxy.settings.names import HIDDEN, KEYS, Key, closest
from proxy.settings.report import NOT_SET, Problem

_Context = Mapping[str, Any]

# What follows the key's name, given the error's context and the value as it may be shown.
_PHRASES: Mapping[str, Callable[[_Context, str], str]] = {
    "bool_type": lambda _, value: f"must be true or false, not {value}",
    "int_type": lambda _, value: f"must be a whole number, not {value}",
    "float_type": lambda _, value: f"must be a number, not {value}",
    "finite_number": lambda _, value: f"must be a finite number, not {value}",
    "string_type": lambda _, value: f"must be a string, not {value}",
    "path_type": lambda _, value: f"must be a string, not {value}",
    "mapping_type": lambda _, value: f"must be a table of strings, not {value}",
    "dict_type": lambda _, value: f"must be a table of strings, not {value}",
    "greater_than": lambda context, value: f"must be above {context['gt']:.15g}, not {value}",
    "greater_than_equal": lambda context, value: f"{value} is below {context['ge']:.15g}",
    "less_than_equal": lambda context, value: f"{value} is above {context['le']:.15g}",
    "value_error": lambda context, _: str(context["error"]),
}


def problems_of(error: ValidationError, layers: Layers) -> Iterable[Problem]:
    """Yield what *error* says of the values in *layers*, in its order."""
    for each in error.errors(include_url=False, include_input=False):
        path = ".".join(str(part) for part in each["loc"][:2])
        inner = [str(part) for part in each["loc"][2:]]
        key, place = KEYS.get(path), layers.origin(path).place
        if each["type"] == "missing" and key is not None:
            if not layers.may_be_given(path):
                yield Problem(NOT_SET, path, _required(key))
        elif key is not None:
            context = each.get("ctx", {})
            message = _message(key, each["type"], context, inner, layers.value(path))
            yield Problem(place, path, message)
        else:
            yield Problem(place or NOT_SET, path, each["msg"].lower())


def _required(key: Key) -> str:
    return f"required: set {key.variable}, or {key.name} under [{key.table}] in the file"


def _message(key: Key, kind: str, context: _Context, inner: Sequence[str], whole: object) -> str:
    value = _inside(whole, inner)
    where = ".".join(inner) + " " if inner else ""
    if kind == "literal_error":
        return where + _choice(str(context["expected"]), value)
    phrase = _PHRASES.get(kind)
    if phrase is None:
        return f"{where}is not valid ({kind.replace('_', ' ')})"
    return where + phrase(context, _shown(key, value))


def _choice(expected: str, value: object) -> str:
    choices = [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]
    meant = closest(value, choices) if isinstance(value, str) else None
    hint = "" if meant is None else f'; did you mean "{meant}"?'
    return f"{value!r} is none of {', '.join(choices)}{hint}"


def _inside(value: object, inner: Sequence[str]) -> object:
    for part in inner:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _shown(key: Key, value: object) -> str:
    """Return the value as TOML would write it, or its kind where it may be a credential."""
    if key.path in HIDDEN or isinstance(value, Mapping | list):
        return _kind(value)
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _kind(value: object) -> str:
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "a boolean"),
        (int, "a number"),
        (float, "a number"),
        (str, "a string"),
        (list, "a list"),
        (Mapping, "a table"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), "a date or time")
