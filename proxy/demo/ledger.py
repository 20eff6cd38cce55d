"""Which tokens were issued, and which of them the API accepts."""

import base64
import hashlib
import hmac
import json
import math
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Final, Literal

TokenFormat = Literal["jwt", "opaque"]

_ISSUER: Final = "https://demo.invalid/"


class Ledger:
    """
    Tokens by their SHA-256, so that none can be read out of it again.

    A token is valid because it stands here, never for what it says; a JWT's claims are for the
    client's eyes. Times are seconds on *clock*; only the claims are in Unix time.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        subject: str,
        token_format: TokenFormat,
        prefix: str = "",
    ) -> None:
        self._clock = clock
        self._subject = subject
        self._format = token_format
        self._prefix = prefix
        self._key = secrets.token_bytes(32)
        self._dies_at: dict[bytes, float] = {}

    def issue(self, *, lives: float, claims: float) -> str:
        """Return a new token that the API accepts for *lives* seconds and that claims *claims*."""
        now = self._clock()
        self._dies_at = {digest: dies for digest, dies in self._dies_at.items() if dies > now}
        token = self._jwt(claims) if self._format == "jwt" else self._opaque()
        self._dies_at[_digest(token)] = now + lives
        return token

    def accepts(self, token: str) -> bool:
        """Tell whether it was issued here, has not expired and was not revoked."""
        return self._dies_at.get(_digest(token), -math.inf) > self._clock()

    def revoke_all(self) -> int:
        """Refuse every token issued so far; return how many were still valid."""
        now = self._clock()
        valid = sum(dies > now for dies in self._dies_at.values())
        self._dies_at.clear()
        return valid

    def _opaque(self) -> str:
        return self._prefix + secrets.token_urlsafe(48)

    def _jwt(self, life: float) -> str:
        now = time.time()
        claims = {
            "iss": _ISSUER,
            "sub": self._subject,
            "iat": math.floor(now),
            # Rounded up, so that exp never says less than expires_in does.
            "exp": math.ceil(now + life),
            "jti": secrets.token_hex(8),
        }
        signed = _part({"alg": "HS256", "typ": "JWT"}) + b"." + _part(claims)
        signature = _base64(hmac.digest(self._key, signed, hashlib.sha256))
        return (signed + b"." + signature).decode("ascii")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _part(value: Mapping[str, object]) -> bytes:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(value: bytes) -> bytes:
    return base64.urlsafe_b64encode(value).rstrip(b"=")
