"""The file of local tokens, and the keys beside it: what is read, and what can't be meant."""

from pathlib import Path

import pytest

from proxy.app.callers import asked_for
from proxy.policy.callers import ANYONE
from proxy.settings import SettingsError, load
from proxy.settings.callers import local_tokens, owners
from proxy.settings.model import Settings
from proxy.settings.secret import SecretError

ENVIRON = {
    "BEARER_PROXY_TOKEN_CLIENT_ID": "acme",
    "BEARER_PROXY_TOKEN_CLIENT_SECRET": "s3cret",
}
TOKEN = "a-token-that-is-long-enough"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of one token, for its owner alone."""
    path = tmp_path / "tokens"
    path.write_text(f"shop:{TOKEN}\n")
    path.chmod(0o600)
    return path


def listen(file: Path, **keys: str) -> dict[str, str]:
    """Return variables for that file of tokens and other *keys* of ``[listen]``."""
    given = {"local_token_file": str(file), **keys}
    return {
        **ENVIRON,
        **{f"BEARER_PROXY_LISTEN_{key.upper()}": text for key, text in given.items()},
    }


def loaded(environ: dict[str, str]) -> Settings:
    return load({}, environ).settings


def refusal(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as refused:
        load({}, environ)
    return " ".join(str(refused.value).split())


# What stands in it.


def test_a_line_is_a_name_and_a_token_or_a_token_alone(file: Path) -> None:
    """
    Comments, empty lines, white space around a line and its ending are nobody's token. What stands
    behind the first colon is the token, further colons too.
    """
    file.write_bytes(
        b"# of the shop\r\n\r\n  shop:first:token-of-the-shop \r\n"
        b"\ta-token-without-a-name+/=\n\nci.2-x:token-of-the-pipeline"
    )
    assert [(each.name, each.token) for each in local_tokens(file)] == [
        ("shop", b"first:token-of-the-shop"),
        ("", b"a-token-without-a-name+/="),
        ("ci.2-x", b"token-of-the-pipeline"),
    ]


def test_two_tokens_may_have_one_name(file: Path) -> None:
    """
    Otherwise none could be replaced while it is in use.
    """
    file.write_text(f"shop:{TOKEN}-1\nshop:{TOKEN}-2\n")
    assert [each.name for each in local_tokens(file)] == ["shop", "shop"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no token"),
        (b"# nothing yet\n", "holds no token"),
        (b"shop:%b\nshort-one\n", ":2 has a token of under 16 characters"),
        (b"shop:short-one\n", ":1 has a token of under 16 characters"),
        (b"shop:\n", ":1 has a token with other than visible ASCII characters"),
        (b"shop:two words of a token\n", ":1 has a token with other than visible ASCII characters"),
        (b"a:%b\nb:%b\n", ":2 repeats a token"),
        (b"a shop:%b\n", ":1 has a name of other than letters, digits, dot, _ and -"),
        (b":%b\n", ":1 has a name of other than letters, digits, dot, _ and -"),
        (b"a)b:%b\n", ":1 has a name of other than letters, digits, dot, _ and -"),
        ("shöp-token-that-is-long".encode(), ":1 has a token with other than visible ASCII"),
        (b"shop:\xff%b\n", "is not UTF-8 text"),
        (b"shop:%b\n" + b"#" * 70_000, "is larger than"),
    ],
)
def test_what_can_not_be_meant_is_told_by_its_line(file: Path, content: bytes, said: str) -> None:
    """
    A start with half of the tokens would be noticed when it is too late. No text repeats a token.
    """
    file.write_bytes(content.replace(b"%b", TOKEN.encode()))
    with pytest.raises(SecretError) as refused:
        local_tokens(file)
    assert said in str(refused.value)
    for token in (TOKEN, "short-one", "two words", "a shop"):
        assert token not in str(refused.value)
    assert refused.value.__context__ is None


def test_what_is_no_file_is_no_start(tmp_path: Path) -> None:
    """
    Neither an absent one nor a directory; and the sentence names the key.
    """
    for path in (tmp_path, tmp_path / "absent"):
        said = refusal(listen(path))
        assert "listen.local_token_file" in said
        assert str(path) in said


# Who else can read it.


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_file_of_tokens_that_others_can_read_is_warned_of(file: Path, mode: int) -> None:
    """
    And refused where permissions are strict, as it is of every file with something secret in it.
    """
    assert load({}, listen(file)).warnings == ()
    file.chmod(mode)
    [warning] = load({}, listen(file)).warnings
    assert f"token file {file} can be read by others (mode {mode:04o})" in warning
    strict = {**listen(file), "BEARER_PROXY_TOKEN_STRICT_PERMISSIONS": "true"}
    assert f"token file {file} can be read by others" in refusal(strict)


# From keys to what is asked for.


def test_nothing_configured_is_anyone() -> None:
    """
    The very object that costs a request nothing.
    """
    assert asked_for(loaded(ENVIRON).listen) is ANYONE


def test_what_is_configured_is_asked_for(file: Path) -> None:
    """
    In the field of the user's choice; a value that is required is required as it was written.
    """
    found = asked_for(
        loaded(listen(file, local_token_header="X-Token", required_header="X-Local:  a:b ")).listen
    )
    assert [each.token for each in found.tokens] == [TOKEN.encode()]
    assert (found.token_field, found.required_field) == (b"X-Token", b"X-Local")
    assert found.required_value == b"a:b"
    assert TOKEN not in repr(found)
    any_value = asked_for(loaded(listen(file, required_header="X-Local")).listen)
    assert any_value.required_value is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("required_header", "Host"),
        ("required_header", "connection"),
        ("required_header", "Content-Length: 0"),
        ("required_header", "Authorization"),
        ("required_header", "X-Forwarded-For"),
        ("required_header", "X_Local"),
        ("required_header", "X Local"),
        ("required_header", "X-Local:"),
        ("required_header", "X-Local: caf\xe9"),
        ("required_header", "X-Local: a\r\nX-B: b"),
        ("local_token_header", "Host"),
        ("local_token_header", "X-Request-Id"),
        ("local_token_header", "Origin"),
        ("local_token_header", "X_Token"),
        ("local_token_header", "X-Token: a"),
        ("allowed_uids", "root"),
    ],
)
def test_a_field_that_means_something_else_shows_no_caller(
    file: Path, key: str, value: str
) -> None:
    """
    It frames, routes or admits, or is the upstream's, or gets lost on the way to us.
    """
    assert f"listen.{key}" in refusal(listen(file, **{key: value}))


def test_keys_that_contradict_each_other_are_no_start(file: Path) -> None:
    """
    A field for two things; one that is refused elsewhere; users where no user is known.
    """
    twice = listen(file, local_token_header="X-Local", required_header="x-local: 1")
    assert "listen.required_header" in refusal(twice)
    refused = listen(file, local_token_header="Authorization")
    assert "listen.local_token_header" in refusal(
        {**refused, "BEARER_PROXY_TOKEN_INBOUND": "refuse"}
    )
    assert loaded(refused).listen.local_token_header == "Authorization"
    by_user = listen(file, allowed_uids="7", address="127.0.0.1:8080")
    assert "only at a Unix socket is a user known" in refusal(by_user)
    assert loaded(listen(file, allowed_uids="7", address="unix:/a")).listen.allowed_uids == (7,)


def test_owners_are_named_or_numbered() -> None:
    """
    -1 leaves one as it is; who does not exist is told.
    """
    assert owners(None) == (-1, -1)
    assert owners("root") == (0, -1)
    assert owners("root:0") == (0, 0)
    assert owners("4000000:4000001") == (4000000, 4000001)
    for nobody, said in (("no-such-user", "no user"), ("root:no-such-group", "no group")):
        with pytest.raises(ValueError, match=said):
            owners(nobody)
