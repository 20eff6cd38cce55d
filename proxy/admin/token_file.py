"""Where the commands find the admin token of a running proxy."""

import os
from pathlib import Path

from proxy.admin import health, token
from proxy.admin.address import join


def read(address: tuple[str, int], given: dict[str, str]) -> str:
    """
    Return the admin token of the proxy at *address*; *given* are the command's flags.

    ValueError says which file was looked for, and who can read it.
    """
    configured = os.environ.get("BEARER_PROXY_ADMIN_TOKEN_FILE") or _in_file(given)
    path = Path(configured) if configured else token.usual_path(join(*address), os.environ)
    try:
        return path.read_text().strip()
    except OSError as error:
        reason = (error.strerror or "can't be read").lower()
        raise ValueError(
            f"no admin token for {join(*health.reachable(address))} in {path}: {reason}; only the"
            " user that runs the proxy can read it, while it runs"
        ) from None


def _in_file(given: dict[str, str]) -> str | None:
    path = given.get("--config") or os.environ.get("BEARER_PROXY_CONFIG")
    if not path:
        return None
    import tomllib

    with open(path, "rb") as file:
        table = tomllib.load(file).get("admin")
    found = table.get("token_file") if isinstance(table, dict) else None
    return found if isinstance(found, str) else None
