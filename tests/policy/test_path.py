"""The readings of a path: nothing that climbs, hides or splits in any of them goes on."""

from proxy.policy import path
from tests.each import each
from tests.policy.paths import encoded, refused


@each(
    "text",
    [b"/", b"/a/b/", b"/a//b", b"/a..b", b"/...", b"/.well-known/x", b"/a%20b", b"/a%2Fb",
     b"/%C3%A9", b"/a;v=1", b"/100%25", b"/a.", b"/a/.b", b"/..a", b"/a..", b"/%2525"],
)  # fmt: skip
def test_a_path_that_reads_in_one_way_is_left_alone(text: bytes) -> None:
    """
    Dots, slashes and escapes are not wrong in themselves.
    """
    path.check(text)


@each(
    "text",
    [b"/..", b"/.", b"/a/..", b"/a/../b", b"/./a", b"/a/./", b"/../../etc/passwd", b"/..;/a",
     b"/.;x/a", b"/a/..;p=1/b"],
)  # fmt: skip
def test_a_dot_segment_is_refused(text: bytes) -> None:
    """
    Not resolved: with parameters too, which some servers cut off before they resolve.
    """
    assert refused(text) == "bad_request"


@each("layers", [1, 2, 3])
@each("hidden", [b"..", b".", b"../", b"\\", b"/../a", b"\x00", b"\r\n", b"\x7f"])
def test_encoding_hides_nothing(hidden: bytes, layers: int) -> None:
    """
    Once, twice or thrice: each hop of the way may decode it once more.
    """
    assert refused(b"/a/" + encoded(hidden, layers)) == "bad_request"


@each("text", [b"/%2e%2E/a", b"/.%2e/a", b"/%2e./a", b"/a%2f..%2fb", b"/%252e%252e/a"])
def test_half_encoded_dots_are_dots(text: bytes) -> None:
    """
    In either case of the digits, and with the slash encoded instead.
    """
    assert refused(text) == "bad_request"


def test_a_path_encoded_over_three_times_is_refused() -> None:
    """
    Who would decode it so often can't be known, so what it says can't either.
    """
    assert refused(b"/" + encoded(b"a", 4)) == "bad_request"


@each("dot", [b"%c0%ae", b"%e0%80%ae", b"%f0%80%80%ae", encoded(b"%c0%ae"), b"%C0%AE"])
def test_an_overlong_dot_is_a_dot(dot: bytes) -> None:
    """
    RFC 3629 section 10: no decoder may take it for one, and some have.
    """
    assert refused(b"/" + dot + dot + b"/a") == "bad_request"


@each("slash", [b"%c0%af", b"%e0%80%af", b"%f0%80%80%af", b"%c1%9c", b"%e0%81%9c"])
def test_an_overlong_slash_or_backslash_is_one(slash: bytes) -> None:
    """
    Between dots it makes them segments.
    """
    assert refused(b"/a" + slash + b".." + slash + b"b") == "bad_request"


@each("text", [b"//evil.example/", b"/%2fevil.example", b"/%5cevil", b"\\\\evil", b"/a\\b"])
def test_two_leading_slashes_and_backslashes_are_refused(text: bytes) -> None:
    """
    They would name another server to whoever resolves them as a reference.
    """
    assert refused(text) == "bad_request"


@each("text", [b"/%", b"/%4", b"/%zz", b"/a%2", b"/%u0041"])
def test_a_percent_sign_starts_an_escape(text: bytes) -> None:
    """
    RFC 3986 section 2.1: two digits, or nobody knows what follows it.
    """
    assert refused(text) == "bad_request"


def test_a_fragment_is_no_part_of_a_request() -> None:
    """
    RFC 9112 section 3.2: it stays with the client.
    """
    assert refused(b"/a#b") == "bad_request"


# One form for all spellings.


@each(
    "spelling",
    [b"/oauth/token", b"/OAuth/Token", b"/oauth/token/", b"/oauth//token", b"/oauth/token;x=1",
     b"/o%61uth/token", b"/oauth%2Ftoken", b"/oauth;a/token", b"/oauth/token.", b"/oauth./token ",
     b"/oauth/tok%2565n", b"/oauth/token%20"],
)  # fmt: skip
def test_all_spellings_of_a_path_share_one_plain_form(spelling: bytes) -> None:
    """
    Case, escapes, parameters, doubled and trailing slashes, trailing dots and spaces don't count.
    """
    assert path.plain(spelling) == b"/oauth/token"


@each(
    ("text", "without"),
    [(b"/a/b.json", b"/a/b"), (b"/a/b", b"/a/b"), (b"/a.b/c", b"/a.b/c"), (b"/a/.b", b"/a/.b"),
     (b"/a/b.tar.gz", b"/a/b")],
)  # fmt: skip
def test_an_extension_is_what_follows_a_dot_in_the_last_segment(
    text: bytes, without: bytes
) -> None:
    """
    A leading dot starts a name.
    """
    assert path.without_extension(text) == without
