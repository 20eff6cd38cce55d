"""JSON pointers, by RFC 6901's own examples and by what issuers answer."""

import pytest

from proxy.tokens.pointer import parse, resolve, sibling
from tests.each import each

# Section 5.
DOCUMENT = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "m~n": 8,
    " ": 7,
    "~1": 9,
    "null": None,
}


@each(
    ("pointer", "value"),
    [
        ("", DOCUMENT),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/foo/1", "baz"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/m~0n", 8),
        ("/ ", 7),
        ("/~01", 9),
    ],
)
def test_the_examples_of_the_rfc_hold(pointer: str, value: object) -> None:
    """
    RFC 6901 section 5.
    """
    assert resolve(DOCUMENT, pointer) == value


@each(
    "pointer",
    [
        "/x",
        "/foo/2",
        "/foo/-",
        "/foo/-1",
        "/foo/01",
        "/foo/x",
        "/foo/" + "9" * 5_000,
        "/foo/\u0660",
    ],
)
def test_what_is_not_there_is_none(pointer: str) -> None:
    """
    No exception for any answer, whatever its shape.
    """
    assert resolve(DOCUMENT, pointer) is None


@each("document", [None, 7, "text", True, [], {}])
def test_any_document_may_be_asked(document: object) -> None:
    """
    A string has no members, not even by index.
    """
    assert resolve(document, "/0/access_token") is None


@each("pointer", ["foo", "a/b", "/~", "/~2", "/a~"])
def test_what_is_no_pointer_is_refused(pointer: str) -> None:
    """
    At start, with words that say how it should be written.
    """
    with pytest.raises(ValueError, match="JSON pointer"):
        parse(pointer)


def test_a_sibling_stands_beside() -> None:
    """
    token_type is looked for where the token is.
    """
    assert sibling("/data/access_token", "token_type") == "/data/token_type"
    assert sibling("/access_token", "token_type") == "/token_type"
