"""What this caller may ask for: patterns mean what people mean, and never give way to doubt."""

import pytest

from proxy.errors import ProxyError
from proxy.policy import access
from proxy.policy.access import EVERYTHING
from tests.each import each
from tests.policy.paths import allowing, allows, denying

# Patterns.


@each(
    ("pattern", "path", "matches"),
    [
        ("/a", b"/a", True),
        ("/a", b"/a/", True),
        ("/a", b"/ab", False),
        ("/a", b"/a/b", False),
        ("/a", b"/", False),
        ("/", b"/", True),
        ("/", b"/a", False),
        ("/*", b"/a", True),
        ("/*", b"/a/b", False),
        ("/*/b", b"/a/b", True),
        ("/a*", b"/abc", True),
        ("/a*c*e", b"/abcde", True),
        ("/a*c*e", b"/ace", True),
        ("/a*c*e", b"/aec", False),
        ("/ab*ba", b"/aba", False),
        ("/**", b"/", True),
        ("/**", b"/a/b/c", True),
        ("/a/**", b"/a", True),
        ("/a/**", b"/a/b/c", True),
        ("/a/**", b"/ab", False),
        ("/**/z", b"/z", True),
        ("/**/z", b"/a/b/z", True),
        ("/**/z", b"/z/a", False),
        ("/a/**/b/**/c", b"/a/x/b/b/y/c", True),
        ("/a/**/b/**/c", b"/a/x/c/b", False),
        ("/caf\u00e9", b"/caf%C3%A9", True),
        ("/a b", b"/a%20b", True),
        ("/A", b"/a", False),
    ],
)
def test_a_pattern_is_a_path_with_stars(pattern: str, path: bytes, matches: bool) -> None:
    """
    ``*`` is anything within a segment, ``**`` any number of segments; the rest stands for itself.
    """
    assert allows(allowing(pattern), path) is matches


@each(
    "text",
    ["", "a", "*", "/a?b", "/a#b", "/a%20b", "/a\\b", "//a", "/a//b", "/a/../b", "/./a", "/a**",
     "/**a/b", "/a\x00", "/a\n"],
)  # fmt: skip
def test_a_pattern_that_can_not_be_meant_is_refused(text: str) -> None:
    """
    Instead of matching nothing for ever.
    """
    with pytest.raises(ValueError, match=r"^\""):
        access.pattern(text)


def test_a_long_path_buys_no_time() -> None:
    """
    Matching is linear: stars that could be tried in a million ways are not.
    """
    rules = allowing("/**/*a*a*a*a*a*a*a*a*b/**/*a*a*a*a*b/**/c")
    assert not allows(rules, b"/" + b"a" * 8000 + b"/a" * 4000)


# Allowing.


def test_a_filter_is_not_only_parsed_but_applied() -> None:
    """
    What a rule names decides: with it and without it, the same path fares differently.
    """
    assert allows(EVERYTHING, b"/b")
    assert not allows(allowing("/a"), b"/b")
    assert not allows(denying("/b"), b"/b")


def test_one_of_the_allowed_patterns_is_enough() -> None:
    """
    They are alternatives.
    """
    rules = allowing("/a/**", "/b")
    assert allows(rules, b"/a/x")
    assert allows(rules, b"/b")
    assert not allows(rules, b"/c")


@each("path", [b"/a/x%2Fy", b"/a;p/..x%2fz", b"/a%2Fb", b"/a;x=1"])
def test_a_doubt_never_widens_what_is_allowed(path: bytes) -> None:
    """
    Every reading of a path has to be allowed: an encoded slash, parameters, doubled slashes.
    """
    assert not allows(allowing("/a/*", "/a;x=1"), path)


def test_an_allowed_path_may_be_encoded() -> None:
    """
    Escapes of plain characters have one reading.
    """
    assert allows(allowing("/abc"), b"/%61b%63")


# Denying.


@each(
    "path",
    [b"/admin", b"/admin/", b"/admin/users/1", b"/ADMIN", b"/%61dmin", b"/%2561dmin",
     b"/admin.json",     b"/admin;x=1", b"/admin%2Fusers", b"/admin.", b"/admin%20", b"//admin",
     b"/admin//users",
     b"/Admin%2f;x/users.xml"],
)  # fmt: skip
def test_what_is_denied_is_denied_in_any_spelling(path: bytes) -> None:
    """
    A single reading is enough: in any case, with any extension, and everything below it.
    """
    assert not allows(denying("/admin"), path)


@each("path", [b"/administration", b"/a/admin", b"/", b"/admi", b"/admin-x"])
def test_what_is_denied_is_compared_whole(path: bytes) -> None:
    """
    A name that begins alike is another one.
    """
    assert allows(denying("/admin"), path)


def test_denying_outranks_allowing() -> None:
    """
    Whatever the order of the tables.
    """
    rules = access.rules(allow_paths=["/**"], deny_paths=["/a/*/secret"])
    assert not allows(rules, b"/a/1/secret")
    assert not allows(rules, b"/a/1/secret/below")
    assert allows(rules, b"/a/1/public")


def test_denying_the_root_denies_no_more() -> None:
    """
    A slash is a path; all paths are ``/**``.
    """
    assert not allows(denying("/"), b"/")
    assert allows(denying("/"), b"/a")
    assert not allows(denying("/**"), b"/a")


def test_the_refusal_names_path_pattern_and_key() -> None:
    """
    Its reader can find the line to change.
    """
    with pytest.raises(ProxyError) as caught:
        access.check_path(b"/admin/x", denying("/admin"))
    assert '"/admin"' in caught.value.detail
    assert "/admin/x" in caught.value.detail
    assert "[deny] paths (BEARER_PROXY_DENY_PATHS)" in caught.value.hint


# Methods.


def test_methods_are_compared_exactly() -> None:
    """
    RFC 9110 section 9.1: they are case-sensitive.
    """
    rules = access.rules(methods=["GET", "HEAD"])
    access.check_method(b"GET", rules)
    for method in (b"POST", b"get", b"GETS", b"HEA"):
        with pytest.raises(ProxyError) as caught:
            access.check_method(method, rules)
        assert caught.value.code == "method_not_allowed"


def test_without_rules_every_method_is_allowed() -> None:
    """
    Overridden ones too.
    """
    access.check_method(b"PURGE", EVERYTHING)
    access.check_overrides([b"DELETE"], EVERYTHING)


@each("value", [b"DELETE", b"delete", b"", b"GET, DELETE", b"\xff"])
def test_a_field_that_overrides_the_method_opens_none(value: bytes) -> None:
    """
    Rack and others obey it, in any case: it must name an allowed method.
    """
    rules = access.rules(methods=["GET", "POST"])
    access.check_overrides([b"post"], rules)
    with pytest.raises(ProxyError) as caught:
        access.check_overrides([b"GET", value], rules)
    assert caught.value.code == "method_not_allowed"
