"""What HOSTREEVE_SECRET_KEY is for: secrets at rest, encrypted by MultiFernet (they cannot be searched, sorted or
unique), the keys that sign the audit, derived from it, so that the database alone is not enough to forge it, and the
key of hashes over secrets."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import sqlalchemy as sa
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from api.core.settings import load
from auditchain import Signer

_cipher: MultiFernet | None = None
_signers: list[Signer] = []
_hash_key = b""


class SecretKeyError(RuntimeError):
    """The secret key is missing, malformed, or not the one that wrote a value."""


def use(keys: str) -> None:
    """Use these keys in this process: comma separated, the newest first; the others still decrypt."""
    global _cipher, _signers, _hash_key  # noqa: PLW0603 - a column type cannot be handed a setting
    try:
        _cipher = MultiFernet([Fernet(key.strip()) for key in keys.split(",")])
        _hash_key = hmac.digest(
            keys.split(",", maxsplit=1)[0].strip().encode(), b"hostreeve hashes over secrets", "sha256"
        )
        _signers = [Signer(base64.urlsafe_b64decode(key.strip())) for key in keys.split(",")]
    except ValueError:
        raise SecretKeyError("HOSTREEVE_SECRET_KEY must hold a key as `python -m api secret-key` prints it") from None


def cipher() -> MultiFernet:
    """Return the process's cipher; the environment's key if none was set."""
    if _cipher is None:
        use(load().secret_key)
    assert _cipher is not None  # noqa: S101 - for the type checker: use() sets it or raises
    return _cipher


def signers() -> list[Signer]:
    """Return the keys that sign the audit, one per secret key, the newest first."""
    if not _signers:
        cipher()
    return _signers


def keyed_hash(data: bytes) -> str:
    """Return the HMAC-SHA256 of data in hex, under the newest key: another one when that changes."""
    cipher()
    return hmac.new(_hash_key, data, hashlib.sha256).hexdigest()


class Secret(sa.types.TypeDecorator[str]):
    """Text that is encrypted in the database."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else cipher().encrypt(value.encode()).decode()

    def process_result_value(self, value: Any | None, dialect: sa.Dialect) -> str | None:
        if value is None:
            return None
        try:
            return cipher().decrypt(value.encode()).decode()
        except InvalidToken:
            raise SecretKeyError("a stored secret was written with another HOSTREEVE_SECRET_KEY") from None
