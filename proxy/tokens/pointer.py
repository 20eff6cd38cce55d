"""
JSON pointers, as far as an issuer's answer needs them.

Reference: RFC 6901.
"""

import re

_MALFORMED_ESCAPE = re.compile(r"~(?![01])")
# Section 4: digits without a leading zero.
_INDEX = re.compile(r"0|[1-9][0-9]*")


def parse(pointer: str) -> tuple[str, ...]:
    """Return *pointer*'s reference tokens; ValueError if it is not a JSON pointer."""
    if not pointer:
        return ()
    if not pointer.startswith("/"):
        raise ValueError(f"a JSON pointer starts with a slash: {pointer!r}")
    if _MALFORMED_ESCAPE.search(pointer):
        raise ValueError(f"in a JSON pointer ~ is written ~0 and / is written ~1: {pointer!r}")
    # Section 4: ~1 first, then ~0, so that ~01 means ~1.
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))


def sibling(pointer: str, name: str) -> str:
    """Return the pointer to the member *name* beside the one that *pointer* names."""
    return pointer.rpartition("/")[0] + "/" + name


def resolve(document: object, pointer: str) -> object:
    """Return what *pointer* names in *document*; None where there is nothing, or null."""
    for part in parse(pointer):
        if isinstance(document, dict):
            document = document.get(part)
        elif isinstance(document, list) and _INDEX.fullmatch(part):
            # An index that no answer of 64 KiB can hold is compared as text, not as a number.
            document = document[int(part)] if len(part) < 6 and int(part) < len(document) else None
        else:
            return None
    return document
