"""A configuration file to begin with: what was asked for is set, what is often wanted is shown."""

import textwrap
from collections.abc import Mapping

from proxy.settings import reference
from proxy.settings.names import KEYS

_WIDTH = 98
# Shown with their defaults, commented out, besides those that are set. All others are in the
# reference.
_OFTEN = (
    "listen.address",
    "allow.methods",
    "allow.paths",
    "upstream.url",
    "upstream.ca_file",
    "token.profile",
    "token.scope",
    "admin.address",
    "log.level",
    "log.access",
)
_EXAMPLES = {
    "upstream.ca_file": "/etc/ssl/certs/ca-certificates.crt",
    "token.scope": "read write",
}
_SAID = {"token.profile": "What the issuer is like: hashrails, or oauth2 (RFC 6749)."}


def configuration(values: Mapping[str, str], *, about: str) -> str:
    """
    Return a TOML file that sets *values* (by ``table.key``) and explains itself.

    *about* is its first comment.
    """
    described = {row.key: row.description.replace("`", "") for row in reference.rows()} | _SAID
    defaults = {**reference.defaults(), **_EXAMPLES}
    lines, table = _comment(about), ""
    for path, key in KEYS.items():
        if path not in values and path not in _OFTEN:
            continue
        lines.append("")
        if key.table != table:
            table = key.table
            lines.append(f"[{table}]")
        lines += _comment(described[path])
        mark = "" if path in values else "#"
        lines.append(f"{mark}{key.name} = {reference.toml(values.get(path, defaults[path]))}")
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH)]
