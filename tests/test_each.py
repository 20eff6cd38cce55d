"""Rows in one item: all of them run, and one that fails is told as if it were an item itself."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.each import each

ROOT = Path(__file__).parents[1]
SUITE = """
import pytest
from tests.each import each

ran = []

def double(number):
    return 2 * number

@each(("number", "doubled"), [(1, 2), (2, 5), pytest.param(3, 7, id="three"), (4, 8)])
def test_doubles(number, doubled):
    ran.append(number)
    assert double(number) == doubled

def test_all_of_them_ran():
    assert ran == [1, 2, 3, 4]

@each("raised", [KeyError, None, OSError])
def test_raises(raised):
    with pytest.raises(KeyError):
        if raised:
            raise raised("no number")

@each("here", [False, True])
def test_skips(here):
    if not here:
        pytest.skip("not here")
    raise LookupError("behind the skip")

@pytest.fixture
def prepared():
    ran.clear()

@each("first", [5, 6])
@pytest.mark.usefixtures("prepared")
@each("second, third", [(1, 2), (3, 4)])
def test_tables_are_multiplied(first, second, third):
    assert not ran
    assert (first, second, third) != (6, 3, 4)

@each("number", [1, 2])
def test_yields(number):
    yield
    assert number == 1

@each("number", [1, 2])
def test_returns(number):
    return number == 1 or None

@pytest.mark.timeout(0.1)
@each("row", [1, 2])
def test_hangs(row):
    while True:
        pass
"""
FAILED = {
    "test_doubles (number=2, doubled=5)",
    "test_doubles [three] (number=3, doubled=7)",
    "test_raises (raised=None)",
    "test_raises (raised=<class OSError>)",
    "test_skips (here=True)",
    "test_tables_are_multiplied (first=6, second=3, third=4)",
    "test_yields (number=1)",
    "test_yields (number=2)",
    "test_returns (number=1)",
    "test_hangs (row=1)",
}


@pytest.mark.parametrize("more", [(), ("-p", "xdist.plugin", "-n1")], ids=["here", "in xdist's"])
def test_every_row_that_fails_is_reported_by_itself(tmp_path: Path, more: tuple[str, ...]) -> None:
    """
    By its values, with all that pytest says of an assertion, whatever became of the rows before it;
    and so it is in a process of xdist's.
    """
    (tmp_path / "test_rows.py").write_text(SUITE)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    result = subprocess.run(
        [*(sys.executable, "-m", "pytest", "--disable-plugin-autoload", "-p", "pytest_timeout"),
         *("-p", "no:cacheprovider", *more, str(tmp_path))],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    # Values that have been from process to process are quoted.
    said = re.sub("['\"]", "", result.stdout)
    assert set(re.findall(r"^_+ (test_\w+ .*\)) _+$", said, re.MULTILINE)) == FAILED
    assert "where 4 = double(2)" in said
    assert "DID NOT RAISE KeyError" in said
    assert "no time is left for the rows behind that one" in said
    assert re.search(r"^FAILED .*::test_all_of_them_ran", said, re.MULTILINE) is None
    assert result.returncode == pytest.ExitCode.TESTS_FAILED


def test_a_table_that_tests_nothing_is_an_error() -> None:
    """
    Rows that a filter has taken all away, say.
    """
    with pytest.raises(ValueError, match="no rows of a, b"):
        each("a, b", [])


@pytest.mark.parametrize("row", [(1, 2, 3), (1,), 1, "ab c", pytest.param(1)])
def test_a_row_has_a_value_for_each_name(row: object) -> None:
    """
    Neither more nor fewer.
    """
    with pytest.raises((ValueError, TypeError), match=r"no row of|zip"):
        each(("a", "b"), [row])


def test_what_a_row_can_not_have_is_refused() -> None:
    """
    A mark would be forgotten, a coroutine never awaited, a value never looked at, or one of two.
    """
    with pytest.raises(TypeError, match="no marks"):
        each("a", [pytest.param(1, marks=pytest.mark.skip)])

    async def waits(a: int) -> None:
        del a

    def takes(a: int) -> None:
        del a

    with pytest.raises(TypeError, match="waits awaits"):
        each("a", [1])(waits)  # type: ignore[arg-type] # mypy refuses it as well
    with pytest.raises(TypeError, match="takes does not take b"):
        each("b", [1])(each("a", [1])(takes))
    with pytest.raises(TypeError, match="takes takes a once"):
        each("a", [1])(each("a", [2])(takes))
    with pytest.raises(TypeError, match="a stands twice"):
        each("a, b, a", [(1, 2, 3)])
