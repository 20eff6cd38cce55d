"""
Fuzzing guided by coverage, as a program: ``python -m tests.fuzz.guided [libFuzzer's arguments]``.

It needs atheris, which is not among the development requirements: a virtual environment of its own
with atheris, h11 and httptools will do. CONTRIBUTING.md has the commands. A crash is a file of
bytes; put into ``corpus``, it is a test.
"""

import importlib
import sys
from typing import Any

# Not installed where the types are checked.
atheris: Any = importlib.import_module("atheris")
with atheris.instrument_imports(include=["proxy.policy", "proxy.errors"]):
    from tests.fuzz.agreement import check


def main() -> None:
    """Run until libFuzzer's arguments or a disagreement end it."""
    atheris.enabled_hooks.add("RegEx")
    # To merge, libFuzzer has a shell run what it takes for the program's name.
    atheris.Setup([f"{sys.executable} -m tests.fuzz.guided", *sys.argv[1:]], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
