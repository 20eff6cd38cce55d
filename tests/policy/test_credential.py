"""A credential: one field line, shown to nobody."""

import hashlib
from dataclasses import asdict

import pytest

from proxy.policy.credential import Credential

TOKEN = "secret-token-1"


def credential(token: str = TOKEN, *, issued_at: float = 0) -> Credential:
    return Credential(token, issued_at, issued_at + 50, issued_at + 60)


def test_its_field_line_is_ready_to_be_sent() -> None:
    """
    Name, scheme, token and line end; RFC 6750 section 2.1.
    """
    assert credential().line == b"Authorization: Bearer secret-token-1\r\n"


def test_its_token_is_in_no_representation() -> None:
    """
    A log line or a traceback that shows the object shows no secret.
    """
    for text in (
        repr(credential()),
        str(credential()),
        f"{[credential()]}",
        f"{credential()!r:>9}",
    ):
        assert TOKEN not in text
        assert "Bearer" not in text


def test_it_is_the_bytes_of_its_token() -> None:
    """
    The same token issued twice is one credential; times don't tell two apart.
    """
    assert credential() == credential(issued_at=1000)
    assert credential() != credential("secret-token-2")


def test_its_fingerprint_tells_tokens_apart_and_gives_none_away() -> None:
    """
    Eight hex digits of the SHA-256.
    """
    assert credential().fingerprint == hashlib.sha256(TOKEN.encode()).hexdigest()[:8]
    assert credential().fingerprint != credential("secret-token-2").fingerprint


def test_a_token_that_is_not_ascii_can_not_be_one() -> None:
    """
    Nothing but ASCII may stand in the field.
    """
    with pytest.raises(UnicodeEncodeError):
        credential("t\u00f6ken")


def test_it_does_not_change() -> None:
    """
    Who was given one may keep it.
    """
    with pytest.raises(AttributeError):
        credential().token = "x"  # type: ignore[misc]
    assert asdict(credential())["expires_at"] == 60
