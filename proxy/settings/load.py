"""
The configuration as a whole: read, ranked, validated, and every problem said at once.

Rule 1: flag > environment > file > default, key by key.

Rule 2: an exception that leaves here carries no input but what may be shown: not in its text, and
        not as its cause.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

from pydantic import ValidationError

from proxy.settings import draft
from proxy.settings.checks import CREDENTIAL, SECRET_FILE, contradictions, secret_source
from proxy.settings.explain import problems_of
from proxy.settings.layers import DEFAULT, Layers
from proxy.settings.model import Settings
from proxy.settings.names import CONFIG_VARIABLE, HIDDEN, KEYS, PREFIX
from proxy.settings.read import Origin, read_environment, read_file, read_flags
from proxy.settings.report import Problem, SettingsError
from proxy.settings.secret import SecretKind, SecretSource, exposure

STRICT = "token.strict_permissions"
_DIRECTORY = "CREDENTIALS_DIRECTORY"


@dataclass(frozen=True, slots=True)
class Loaded:
    """
    A configuration that can be used.

    *provenance* has every key, as ``table.key``; its values print as ``flag --x``, ``env NAME``,
    ``file PATH:LINE``, ``profile NAME``, ``credential …`` or ``default``. *warnings* are sentences
    for a person. *path* is the file that was read, if any. *again* loads the file of this moment
    under the same flags and environment, whatever has become of the process' own; a pipe can't be
    read twice, which is a SettingsError.
    """

    settings: Settings
    provenance: Mapping[str, Origin]
    warnings: tuple[str, ...]
    secret: SecretSource
    path: str | None
    again: Callable[[], "Loaded"] = field(repr=False, compare=False)


def load(
    flags: Mapping[str, str],
    environ: Mapping[str, str],
    config_path: str | os.PathLike[str] | None = None,
) -> Loaded:
    """
    Return the configuration of *flags* (texts by ``table.key``), *environ* and a TOML file.

    The file is *config_path*, else the one that ``BEARER_PROXY_CONFIG`` names, else none.
    SettingsError holds every problem there is.
    """
    path = os.fspath(config_path) if config_path else environ.get(CONFIG_VARIABLE) or None
    problems: list[Problem] = []
    layers = _read(flags, environ, path, problems)
    settings = _validated(layers, problems)
    secret = secret_source(layers, environ, problems)
    exposed = [*(secret.exposures() if secret else ()), *_exposed_file(layers, path)]
    if settings is not None:
        problems += contradictions(settings, layers)
        if settings.listen.local_token_file is not None:
            exposed += exposure(str(settings.listen.local_token_file), "token file")
        if settings.token.strict_permissions:
            place = layers.origin(STRICT).place
            problems += [Problem(place, STRICT, each) for each in exposed]
    if settings is None or secret is None or problems:
        in_file = any(path and each.place.startswith(path) for each in problems)
        subject = path if path and in_file else "the configuration"
        raise SettingsError(problems, subject=subject, rows=draft.rows(layers, problems))
    warnings = (*secret.warnings(), *exposed)
    ours = {name: text for name, text in environ.items() if _is_read(name)}
    again = partial(_again, dict(flags), ours, path)
    return Loaded(settings, _provenance(settings, layers, secret), warnings, secret, path, again)


def _again(flags: Mapping[str, str], environ: Mapping[str, str], path: str | None) -> Loaded:
    # What a pipe or a terminal held is gone, and what is left would pass for the configuration.
    if path is not None and os.path.exists(path) and not os.path.isfile(path):
        problem = Problem(path, "", "is not a regular file, and cannot be read again")
        raise SettingsError([problem], subject=path)
    return load(flags, environ, path)


def _is_read(variable: str) -> bool:
    return variable.upper().startswith(PREFIX) or variable == _DIRECTORY


def _read(
    flags: Mapping[str, str],
    environ: Mapping[str, str],
    path: str | None,
    problems: list[Problem],
) -> Layers:
    file = read_file(path, problems)
    # A problem without a key is one of the whole file: nobody knows what stands in it.
    complete = all(problem.key for problem in problems)
    return Layers(
        read_flags(flags, problems), read_environment(environ, problems), file, complete=complete
    )


def _validated(layers: Layers, problems: list[Problem]) -> Settings | None:
    try:
        return Settings(
            flags=layers.flags.values,
            environment=layers.environment.values,
            file=layers.file.values,
        )
    except ValidationError as error:
        found = list(problems_of(error, layers))
    # What a profile derives is wrong only where the value it derives from is; that is said once.
    problems += [each for each in found if each.place] or found
    return None


def _exposed_file(layers: Layers, path: str | None) -> tuple[str, ...]:
    """Warn of a file that others can read, if there is something in it worth hiding."""
    worth = path is not None and any(key in layers.file.origins for key in HIDDEN)
    return exposure(path, "configuration file") if path and worth else ()


def _provenance(settings: Settings, layers: Layers, secret: SecretSource) -> Mapping[str, Origin]:
    profile = Origin("profile", settings.token.profile)
    origins = {}
    for path, key in KEYS.items():
        origin = layers.origin(path)
        origins[path] = profile if origin is DEFAULT and key.field.is_required() else origin
    if secret.kind is SecretKind.CREDENTIAL:
        origins[SECRET_FILE] = Origin("credential", CREDENTIAL)
    return MappingProxyType(origins)
