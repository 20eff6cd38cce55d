"""
What the proxy is told by file, environment and flags, as one validated object.

``load`` reads it; ``show`` says what is in force, ``reference`` what could be.
"""

from proxy.settings.load import Loaded, load
from proxy.settings.model import Settings
from proxy.settings.report import Problem, SettingsError
from proxy.settings.secret import SecretError, SecretKind, SecretSource

__all__ = [
    "Loaded",
    "Problem",
    "SecretError",
    "SecretKind",
    "SecretSource",
    "Settings",
    "SettingsError",
    "load",
]
