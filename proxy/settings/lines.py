"""
On which line of a TOML text each key stands.

The standard library's parser keeps no positions. This scanner assumes a text which that parser has
accepted, and so needs to know only where strings, brackets and comments end.
"""

import re
import tomllib
from collections.abc import Mapping

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_KEY_PART = re.compile(r"""[ \t]*("(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[A-Za-z0-9_-]+)[ \t]*""")
# Longest first: a triple quote also begins like an empty string.
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")|'
    + r"'''.*?'{3,5}(?!')|"
    + r'"(?:[^"\\\n]|\\.)*"|'
    + r"'[^'\n]*'",
    re.DOTALL,
)

Path = tuple[str, ...]


def key_lines(text: str) -> Mapping[Path, int]:
    """Map every key and table of *text*, as a path from the root, to its first line (from 1)."""
    lines: dict[Path, int] = {}
    table: Path = ()
    line, counted = 1, 0
    at = _skip(_BLANK, text, 0)
    while at < len(text):
        line, counted = line + text.count("\n", counted, at), at
        header = text[at] == "["
        if header:
            at += 2 if text.startswith("[[", at) else 1
        path, at = _path(text, at)
        if header:
            table, at = path, _end_of_line(text, at)
        else:
            path, at = table + path, _value(text, at)
        for length in range(1, len(path) + 1):
            lines.setdefault(path[:length], line)
        at = _skip(_BLANK, text, at)
    return lines


def _skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return at if match is None else match.end()


def _path(text: str, at: int) -> tuple[Path, int]:
    """Read ``a."b c".d`` and return it with the position behind it."""
    parts = []
    while match := _KEY_PART.match(text, at):
        parts.append(_bare(match[1]))
        at = match.end()
        if text[at : at + 1] != ".":
            break
        at += 1
    return tuple(parts), at


def _bare(part: str) -> str:
    if part[0] not in "\"'":
        return part
    value: str = tomllib.loads(f"x={part}")["x"]
    return value


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _value(text: str, at: int) -> int:
    """Return the position behind the value that follows; brackets may spread it over lines."""
    depth = 0
    while at < len(text):
        character = text[at]
        if character in "\"'":
            at = max(_skip(_STRING, text, at), at + 1)
            continue
        if character == "#":
            at = _end_of_line(text, at)
            continue
        if character == "\n" and depth == 0:
            return at
        depth += (character in "[{") - (character in "]}")
        at += 1
    return at
