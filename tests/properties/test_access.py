"""Whatever the patterns: they mean themselves, and denying outranks allowing."""

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy import access
from tests.policy.paths import allowing, allows, denying

segment = st.text("abAB.", min_size=1, max_size=4).filter(lambda s: s.strip("."))
routes = st.lists(segment, max_size=4).map(lambda parts: "/" + "/".join(parts))


@settings(max_examples=40)
@given(routes, routes)
def test_a_path_itself_allows_and_denies_itself(route: str, below: str) -> None:
    """
    A pattern without stars is what it says, and denies what is below it.
    """
    path = route.encode()
    assert allows(allowing(route), path)
    assert not allows(denying(route), path)
    if route != "/" and below != "/":
        assert not allows(denying(route), path + below.encode())


@settings(max_examples=40)
@given(routes, routes)
def test_what_is_both_allowed_and_denied_is_denied(allowed: str, denied: str) -> None:
    """
    Adding a denial never opens anything.
    """
    both = access.rules(allow_paths=[allowed], deny_paths=[denied])
    for path in (allowed.encode(), denied.encode()):
        assert allows(both, path) == (
            allows(allowing(allowed), path) and allows(denying(denied), path)
        )
