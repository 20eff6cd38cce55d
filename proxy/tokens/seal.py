"""
Encryption of the token cache file: AES-256-GCM under a key derived from the client secret.

Whoever can read the file learns nothing without the secret; whoever has the secret can ask the
issuer anyway. The only module that touches ``cryptography``, and only once a file is configured.

Layout: magic, 16 bytes salt, 12 bytes nonce, ciphertext with its tag. The context (issuer, client,
scope) is authenticated and not stored: a file of another client is as foreign as a random one.
"""

import os

_MAGIC = b"bearer-proxy token 1\n"
_SALT, _NONCE = 16, 12


class Unavailable(Exception):
    """``token.cache_file`` is set and cannot work here; the text says what to do."""


class Foreign(Exception):
    """Not a file of this client and secret, or a damaged one: there is no telling which."""


def require() -> None:
    """Raise Unavailable if the package that encrypts is missing."""
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise Unavailable(
            "token.cache_file needs the package cryptography: pip install 'bearer-proxy[cache]'"
        ) from None


def seal(plain: bytes, *, secret: str, context: bytes) -> bytes:
    """Return *plain* as a file's content that ``unseal`` opens with the same secret and context."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
    cipher = AESGCM(_key(secret, salt))
    return _MAGIC + salt + nonce + cipher.encrypt(nonce, plain, _MAGIC + context)


def unseal(content: bytes, *, secret: str, context: bytes) -> bytes:
    """Return what was sealed; Foreign if it was not sealed with this secret and context."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if not content.startswith(_MAGIC) or len(content) < len(_MAGIC) + _SALT + _NONCE:
        raise Foreign
    rest = content[len(_MAGIC) :]
    salt, nonce, sealed = rest[:_SALT], rest[_SALT : _SALT + _NONCE], rest[_SALT + _NONCE :]
    try:
        return AESGCM(_key(secret, salt)).decrypt(nonce, sealed, _MAGIC + context)
    except InvalidTag:
        raise Foreign from None


def _key(secret: str, salt: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    hkdf = HKDF(SHA256(), length=32, salt=salt, info=b"bearer-proxy token cache")
    return hkdf.derive(secret.encode())
