"""Tests of policy and tokens stay units: whatever would make them slow is refused, by name."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.unit import MOST_ITEMS

ROOT = Path(__file__).parents[1]
SUITE = """
import asyncio, os, socket, subprocess

def test_socket():
    try:
        socket.socketpair()
    except Exception:
        pass  # it can't be overlooked

def test_loop():
    asyncio.run(asyncio.sleep(0))

async def test_coroutine():
    pass

def test_process():
    subprocess.run(["true"])

def test_fork():
    os._exit(0) if not os.fork() else None

def test_spawn():
    os.posix_spawn("/bin/true", ["true"], {})

def test_shell():
    os.system("true")

def test_import():
    import hypothesis

def test_submodule():
    from uvloop import loop

def test_arithmetic():
    assert 1 + 1 == 2
"""


def ran(folder: Path, suite: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Run *suite* as ``make unit`` runs its tests."""
    (folder / "test_suite.py").write_text(suite)
    return subprocess.run(
        [*(sys.executable, "-m", "pytest", "-c", "tests/unit.toml", f"--rootdir={folder}"),
         *("-p", "no:cacheprovider", *more, str(folder))],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_what_a_unit_may_not_do_fails_it(tmp_path: Path) -> None:
    """
    A socket, an event loop, a process, a library that makes cases up; and nothing else does.
    """
    result = ran(tmp_path, SUITE)
    failed = re.findall(r"^FAILED .*::(test_\w+)", result.stdout, re.MULTILINE)
    meant = re.findall(r"def (test_\w+)", SUITE)
    assert failed == meant[:-1]
    assert "1 passed" in result.stdout


def test_a_library_that_units_do_without_is_not_imported_by_their_module(tmp_path: Path) -> None:
    """
    Its tests belong to another room, and it says so before one has run.
    """
    result = ran(tmp_path, "from hypothesis import given\n\ndef test_nothing(): pass\n")
    assert "no unit test: import 'hypothesis'" in result.stdout
    assert result.returncode == pytest.ExitCode.INTERRUPTED


def test_rows_that_are_items_of_their_own_are_too_many(tmp_path: Path) -> None:
    """
    Their number is what the time of such tests is made of.
    """
    table = "import pytest\n@pytest.mark.parametrize('row', range({}))\ndef test_row(row): pass\n"
    within = ran(tmp_path, table.format(MOST_ITEMS), "--collect-only")
    assert within.returncode == pytest.ExitCode.OK
    result = ran(tmp_path, table.format(MOST_ITEMS + 1), "--collect-only")
    assert f"{MOST_ITEMS + 1} items are too many" in result.stderr
    assert result.returncode == pytest.ExitCode.USAGE_ERROR


def test_units_are_run_as_strictly_as_all_tests() -> None:
    """
    Every setting that both have is the same.
    """
    all_tests, units = (
        tomllib.loads((ROOT / name).read_text())["tool"]["pytest"]["ini_options"]
        for name in ("pyproject.toml", "tests/unit.toml")
    )
    assert set(all_tests.pop("addopts")) < set(units.pop("addopts"))
    assert units
    assert units.items() <= all_tests.items()
