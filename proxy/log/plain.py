"""Any value as JSON knows it, without its secrets: what a line is made of."""

import errno
import traceback
from collections.abc import Callable, Iterator, Mapping
from math import isfinite

Plain = str | int | float | bool | list["Plain"] | dict[str, "Plain"] | None
Hide = Callable[[str], str]

# Deeper than any event of ours, and it ends a structure that contains itself.
_DEPTH = 6


def plain(value: object, hide: Hide, *, depth: int = _DEPTH) -> Plain:
    """
    Return *value* in JSON's types, every string in it passed through *hide*.

    An exception becomes its type's name. What has no counterpart becomes its ``repr``.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if isinstance(value, str):
        return hide(str(value))
    if isinstance(value, bytes | bytearray):
        return hide(value.decode("ascii", "backslashreplace"))
    if isinstance(value, BaseException):
        return type_name(value)
    if depth and isinstance(value, Mapping):
        return {hide(str(k)): plain(v, hide, depth=depth - 1) for k, v in value.items()}
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [plain(item, hide, depth=depth - 1) for item in value]
    return hide(repr(value))


def type_name(error: BaseException) -> str:
    """Return the error's type, with the errno's name where it has one: its text is nobody's."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else _dotted(kind)
    number = error.errno if isinstance(error, OSError) else None
    return f"{name} [{errno.errorcode.get(number, number)}]" if number is not None else name


def _dotted(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def stack(error: BaseException) -> str:
    """Return the traceback of *error* and of its causes, in Python's layout: types and lines."""
    return "\n".join(_chain(error, set()))


def _chain(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    cause = error.__cause__
    if cause is None and not error.__suppress_context__:
        cause = error.__context__
    if cause is not None and id(cause) not in seen:
        yield from _chain(cause, seen)
        direct = cause is error.__cause__
        yield "which caused:" if direct else "while that was handled:"
    yield "Traceback (most recent call last):"
    for frame in traceback.extract_tb(error.__traceback__):
        yield f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}'
        if frame.line:
            yield f"    {frame.line}"
    yield type_name(error)
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            if id(inner) not in seen:
                yield from (f"  | {line}" for line in _chain(inner, seen))
