"""When the same request may be sent again: only if twice is no more than once, and all is kept."""

from proxy.policy.replay import Kept, idempotent
from tests.each import each


@each("method", [b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"])
def test_an_idempotent_method_may_be_repeated(method: bytes) -> None:
    """
    RFC 9110 section 9.2.2.
    """
    assert idempotent(method)


@each("method", [b"POST", b"PATCH", b"get", b"PROPFIND", b""])
def test_any_other_method_may_not(method: bytes) -> None:
    """
    What is unknown is not, and a lower-case method is unknown.
    """
    assert not idempotent(method)


def test_a_body_up_to_the_limit_is_kept() -> None:
    """
    In the pieces in which it went out; the limit itself is within.
    """
    kept = Kept(5)
    kept.add(b"abc")
    kept.add(b"de")
    assert kept.whole
    assert kept.pieces == [b"abc", b"de"]


def test_a_body_beyond_the_limit_is_let_go_for_good() -> None:
    """
    Half a body is not what was sent; its memory is free at once.
    """
    kept = Kept(5)
    kept.add(b"abcdef")
    assert not kept.whole
    kept.add(b"a")
    assert not kept.whole
    assert kept.pieces == []


def test_a_limit_of_nothing_keeps_nothing_but_the_empty() -> None:
    """
    A request without a body can be repeated all the same.
    """
    kept = Kept(0)
    assert kept.whole
    kept.add(b"a")
    assert not kept.whole
