"""
What makes a test of policy or of tokens a unit: ``make unit`` runs them under this plugin.

Rule 1: it opens no socket and starts no process. So it has no event loop either, whose first act is
        to open two sockets; and nobody awaits a test that is a coroutine.

Rule 2: it loads nothing that it does not need: what makes cases up, another loop, models, a
        certificate authority.

Rule 3: items are few, since one costs half a millisecond whatever it tests: the rows of a table are
        one item (``tests/each.py``).

That all of them take less than a second follows, and no test need hold a watch. What goes deeper
stands beside them: whatever may come in ``tests/properties``, months of a token's life in
``tests/simulation``, tokens kept over sockets, in files and by processes in ``tests/keeping``.
"""

import gc
import sys

import pytest

# Half as many again as there were when this was written.
MOST_ITEMS = 500
# Events of the interpreter's audit, by what they begin with.
_ACTS = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system")
_MODULES = {"hypothesis", "pydantic", "trustme", "uvloop"}


def pytest_configure() -> None:
    """Watch from here on; what was loaded before is looked at once."""
    if loaded := _MODULES & sys.modules.keys():
        raise pytest.UsageError(f"loaded before the first unit test: {', '.join(sorted(loaded))}")
    sys.addaudithook(_judge)


def _judge(event: str, arguments: tuple[object, ...]) -> None:
    """Fail whatever test, fixture or module is about to break rule 1 or 2."""
    if event.startswith(_ACTS) or (event == "import" and arguments[0] in _MODULES):
        pytest.fail(f"no unit test: {event} {arguments[0]!r:.60}, see {__file__}")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Hold rule 3, and keep what is loaded by now out of the collections that pytest ends with."""
    if len(session.items) > MOST_ITEMS:
        raise pytest.UsageError(f"{len(session.items)} items are too many, see {__file__}")
    gc.freeze()
