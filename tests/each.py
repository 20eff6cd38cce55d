"""
Tables of rows that cost what they test: all rows of a table are one item of pytest's.

``@each`` is written like ``@pytest.mark.parametrize`` and may be stacked like it. Every row runs,
whatever becomes of the others; one that fails is reported as a subtest of its own, by its values
and with all that pytest has to say of it. An item costs pytest half a millisecond, most rows of
policy a hundredth of that.

A row has no fixtures: a test that takes some belongs to ``parametrize``, which sets them up afresh.
Nor has it a time of its own: the first that hangs is told, and ends the table.
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from itertools import product
from typing import NamedTuple

import pytest

Test = Callable[..., None]
Whole = Callable[[pytest.Subtests], None]

# How a row may end that passes not; those of pytest's own are no Exceptions.
_ENDS = (Exception, pytest.fail.Exception, pytest.skip.Exception, pytest.xfail.Exception)
_SIGNATURE = inspect.Signature(
    [inspect.Parameter("subtests", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
)


class _Row(NamedTuple):
    name: str
    values: dict[str, object]


def each(names: str | Sequence[str], rows: Iterable[object]) -> Callable[[Test], Whole]:
    """
    Run the decorated test for every one of *rows*, each a value for each of *names*.

    A row may be a ``pytest.param`` with an id. No rows at all, a row of another length, marks,
    names that the test does not take, or takes besides, and one that is given twice are errors when
    it is defined or run.
    """
    columns = [name.strip() for name in names.split(",")] if isinstance(names, str) else [*names]
    if twice := {name for name in columns if columns.count(name) > 1}:
        raise TypeError(f"{', '.join(sorted(twice))} stands twice in a row")
    table = [_row(columns, row) for row in rows]
    if not table:
        raise ValueError(f"no rows of {', '.join(columns)}: nothing would be tested")

    def decorate(test: Test) -> Whole:
        body, below = getattr(test, "_each", (test, [_Row("", {})]))
        if twice := table[0].values.keys() & below[0].values.keys():
            raise TypeError(f"{body.__name__} takes {', '.join(sorted(twice))} once")
        joined = [_both(row, other) for row, other in product(table, below)]
        _check(body, joined[0])
        # Of the test itself pytest wants file, line and marks, of what runs it the fixtures.
        whole = wraps(test)(_running(body, joined))
        vars(whole).update(__signature__=_SIGNATURE, _each=(body, joined))
        return whole

    return decorate


def _row(columns: list[str], given: object) -> _Row:
    """Return *given* by the names of its values."""
    name, values = "", given if len(columns) > 1 else (given,)
    if isinstance(given, type(pytest.param())):
        if given.marks:
            raise TypeError(f"a row has no marks: {given}")
        name, values = str(given.id or ""), given.values
    if not isinstance(values, (tuple, list)):
        raise TypeError(f"no row of {', '.join(columns)}: {given!r}")
    return _Row(name, dict(zip(columns, values, strict=True)))


def _both(row: _Row, other: _Row) -> _Row:
    """Return what two tables say together."""
    return _Row(", ".join(filter(None, (row.name, other.name))), row.values | other.values)


def _check(body: Test, row: _Row) -> None:
    if inspect.iscoroutinefunction(body):
        raise TypeError(f"{body.__name__} awaits: its rows belong to parametrize")
    if unknown := row.values.keys() - inspect.signature(body).parameters.keys():
        raise TypeError(f"{body.__name__} does not take {', '.join(sorted(unknown))}")


def _running(body: Callable[..., object], rows: list[_Row]) -> Whole:
    """Return a test that runs *body* for all of *rows*."""

    def test(subtests: pytest.Subtests) -> None:
        __tracebackhide__ = True
        for row in rows:
            try:
                # Of a generator nothing would have run, say.
                assert body(**row.values) is None, "a test returns nothing"
            except _ENDS as end:
                with subtests.test(row.name or None, **row.values):
                    raise
                if "pytest-timeout" in str(end):
                    # The time was that of all rows, and another that hangs would hang for ever.
                    pytest.fail("no time is left for the rows behind that one")

    return test
