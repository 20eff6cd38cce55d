"""
Differential fuzzing: whatever we forward or pass on, h11 and llhttp read as we do.

``make fuzz`` looks at 200,000 cases of each kind, fresh ones every time; the test suite at 2,000,
always the same.
"""

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import strategies as st

from tests.fuzz import streams
from tests.fuzz.agreement import check_answers, check_requests
from tests.fuzz.streams import CASES


def hold(built: st.SearchStrategy[bytes], agreed: Callable[[bytes], int]) -> None:
    """Have *agreed* look at cases, and see that neither all nor none of them passed us."""
    said: Counter[int] = Counter()

    def check(case: bytes) -> None:
        said[agreed(case)] += 1

    streams.cases(built, CASES, check)
    assert said.total() >= CASES
    assert said[0] > CASES / 20
    assert said.total() - said[0] > CASES / 20


@pytest.mark.timeout(0)
def test_whatever_is_forwarded_is_read_alike_by_h11_and_llhttp() -> None:
    """
    End, method, target, fields, content and trailers; and what we send is those requests exactly.
    """
    hold(streams.requests, check_requests)


@pytest.mark.timeout(0)
def test_whatever_is_passed_on_is_read_alike_by_h11_and_llhttp() -> None:
    """
    The upstream's side: status, fields, content and end.
    """
    hold(streams.answers, lambda case: check_answers(case, to_head=False))


@pytest.mark.timeout(0)
def test_whatever_answers_a_head_request_is_read_alike_by_h11() -> None:
    """
    There is no body, whatever the fields say; llhttp can't be told here what it answers.
    """
    hold(streams.answers, lambda case: check_answers(case, to_head=True))
