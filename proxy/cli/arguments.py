"""
From words on a command line to flags and their values.

Rule 1: nothing is guessed: an unknown flag, a flag given twice and a stray word are refused.

Rule 2: a refusal repeats no value. Whoever mistypes a flag may have meant it for a secret.
"""

from collections.abc import Iterable

_NONE: frozenset[str] = frozenset()


class UsageError(Exception):
    """The command line cannot be understood; the text says why, in one line fit for a terminal."""

    def __init__(self, text: str) -> None:
        super().__init__("".join(each if each.isprintable() else "?" for each in text))


def parse(
    arguments: list[str],
    *,
    switches: frozenset[str] = _NONE,
    valued: frozenset[str] = _NONE,
    listed: frozenset[str] = _NONE,
) -> dict[str, str]:
    """
    Return the flags of *arguments* with their values, empty for *switches*.

    *valued* take one, as ``--flag value`` or ``--flag=value``; a value that begins with a dash
    needs the second form. *listed* are valued ones that may be given several times: their values
    are joined by commas. ``--help``, or ``-h`` for it, is always a switch.
    """
    switches |= {"--help"}
    valued |= listed
    found: dict[str, str] = {}
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        name = "--help" if name == "-h" else name
        if not name.startswith("-"):
            last = next(reversed(found), "")
            raise UsageError(f"a word stands where a flag belongs{last and ', behind '}{last}")
        if name not in switches | valued:
            raise UsageError(f"unknown flag {name}{did_you_mean(name, switches | valued)}")
        if name in found and name not in listed:
            raise UsageError(f"{name} is given twice")
        if name in switches and equals:
            raise UsageError(f"{name} takes no value")
        if name in valued and not equals:
            value = next(rest, "-")
            if value.startswith("-"):
                raise UsageError(f"{name} needs a value")
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Say, as the end of a sentence, which of *known* was probably meant; or nothing."""
    # Imported where something is wrong already, and time no longer matters.
    import difflib

    meant = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f'; did you mean "{meant[0]}"?' if meant else ""
