"""
What this caller may ask for, of all that the upstream offers: ``allow`` and ``deny``.

Rule 1: nothing is sent before every rule has agreed.

Rule 2: a doubt about how the upstream reads a path never widens access. Allowing takes every
        reading of it; denying takes a single one, in any case, with any extension, and takes
        everything below along.

Rule 3: a pattern is a path as people read it, decoded: ``*`` stands for anything within one
        segment, ``**`` as a whole segment for any number of them. Matching is linear in the path:
        no pattern lets a caller buy time with a long one.

A method that travels in a form field (``_method``) is out of sight here: bodies are not read.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from proxy.errors import ProxyError
from proxy.policy import path as paths

# Between neighbours: a segment is the literal parts around its asterisks; None stands for **.
_Segment = tuple[bytes, ...] | None


@dataclass(frozen=True, slots=True)
class Pattern:
    """A glob, taken apart; *text* is as the user wrote it."""

    text: str
    segments: tuple[_Segment, ...]


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of one listener; empty *methods* or *allowed* do not restrict."""

    methods: frozenset[bytes] = frozenset()
    allowed: tuple[Pattern, ...] = ()
    denied: tuple[Pattern, ...] = ()


EVERYTHING = Access()


def rules(
    *, methods: Iterable[str] = (), allow_paths: Iterable[str] = (), deny_paths: Iterable[str] = ()
) -> Access:
    """Return the rules that these settings make; ValueError for one that can't be meant."""
    return Access(
        methods=frozenset(method.encode("ascii") for method in methods),
        allowed=tuple(pattern(text) for text in allow_paths),
        denied=tuple(_with_all_below(pattern(text)) for text in deny_paths),
    )


def pattern(text: str) -> Pattern:
    """Return the pattern that *text* describes; ValueError says what is wrong with it."""
    if not text.startswith("/"):
        raise ValueError(f'"{text}" does not start with a slash')
    if wrong := re.search(r"[?#\\\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}|//", text):
        raise ValueError(f'"{text}" has {wrong[0]!r}: patterns are decoded paths without a query')
    segments: list[_Segment] = []
    for segment in _split(text.encode("utf-8")):
        if segment in (b".", b"..") or (b"**" in segment and segment != b"**"):
            raise ValueError(
                f'"{text}": {segment.decode("utf-8")} can\'t be a segment of a pattern'
            )
        segments.append(None if segment == b"**" else tuple(segment.split(b"*")))
    return Pattern(text, tuple(segments))


def _with_all_below(denied: Pattern) -> Pattern:
    """Return *denied* in lower case, as readings are compared, and with what is below it."""
    low = [s and tuple(part.lower() for part in s) for s in denied.segments]
    # "/" alone is the root, not everything.
    return Pattern(denied.text, (*low, None) if low and low[-1] is not None else tuple(low))


def check_method(method: bytes, access: Access) -> None:
    """Raise unless *method*, compared exactly (RFC 9110 section 9.1), is among the allowed ones."""
    if access.methods and method not in access.methods:
        raise ProxyError(
            "method_not_allowed",
            f"{method.decode('ascii')} is not among the allowed methods.",
            hint="Use one of them, or add it: [allow] methods (BEARER_PROXY_ALLOW_METHODS).",
        )


def check_overrides(values: Iterable[bytes], access: Access) -> None:
    """Raise unless the methods that override fields (``METHOD_OVERRIDES``) ask for are allowed."""
    for value in values:
        check_method(value.upper() if value.isascii() else b"?", access)


# Rack, Express, Symfony and ASP.NET obey these in place of the request line's method.
METHOD_OVERRIDES = frozenset((b"x-http-method-override", b"x-http-method", b"x-method-override"))


def check_path(path: bytes, access: Access) -> None:
    """Raise unless the client's *path*, relative to the base and sound, may be asked for."""
    if access.denied or access.allowed:
        forms = _forms(path)
        for denied in access.denied:
            if any(_matches(denied, form) for form in _suspected(forms)):
                raise _refused(path, f'It is denied by "{denied.text}".', "[deny] paths")
        if access.allowed and not all(
            any(_matches(allowed, form) for allowed in access.allowed) for form in forms
        ):
            raise _refused(path, "It is not among the allowed paths.", "[allow] paths")


def _refused(path: bytes, why: str, key: str) -> ProxyError:
    return ProxyError(
        "path_not_allowed",
        f"{path.decode('ascii', 'replace')} may not be asked for. {why}",
        hint="If it should be, change the rule: "
        f"{key} (BEARER_PROXY_{key[1:].upper().replace('] ', '_')}).",
    )


def _forms(path: bytes) -> set[bytes]:
    """Return the decoded readings of *path*: encoded or doubled slashes kept or not, and so on."""
    forms = set(paths.readings(path)[1:] or [path])
    kept = re.sub(rb"(?i)%2f", b"%252F", path)
    if kept != path:
        forms.add(paths.readings(kept)[1])
    forms |= {b"/".join(s.partition(b";")[0] for s in form.split(b"/")) for form in forms}
    return forms | {re.sub(rb"/{2,}", b"/", form) for form in forms}


def _suspected(forms: set[bytes]) -> set[bytes]:
    """Return *forms* in lower case, and what a lenient upstream might make of them."""
    plain = {paths.plain(form) for form in forms}
    return {form.lower() for form in forms} | plain | {paths.without_extension(p) for p in plain}


def _split(path: bytes) -> list[bytes]:
    """Return the segments of *path*; a slash at its end opens none."""
    inner = path[1:].removesuffix(b"/")
    return inner.split(b"/") if inner else []


def _matches(glob: Pattern, path: bytes) -> bool:
    """Tell whether the whole of *path* matches; greedy, going back to the last ** at most."""
    wanted, given = glob.segments, _split(path)
    at = here = resume = 0
    star = -1
    while here < len(given):
        expected = wanted[at] if at < len(wanted) else ()
        if expected is None:
            star, resume = at, here
            at += 1
        elif expected and _segment_matches(expected, given[here]):
            at, here = at + 1, here + 1
        elif star >= 0:
            resume += 1
            at, here = star + 1, resume
        else:
            return False
    return all(segment is None for segment in wanted[at:])


def _segment_matches(parts: tuple[bytes, ...], segment: bytes) -> bool:
    """Tell whether *segment* is the literal *parts* with anything between them."""
    if len(parts) == 1:
        return segment == parts[0]
    first, *middle, last = parts
    at, end = len(first), len(segment) - len(last)
    if end < at or not segment.startswith(first) or not segment.endswith(last):
        return False
    for part in middle:
        at = segment.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True
