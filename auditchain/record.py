"""What is hashed and signed, and how.

A *record* is an entry of the audit with its place in the chain. Its *content* is every field but ``hash`` and
``signature``; the hash is the SHA-256 of the content's canonical form, and the signature is made over the hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

#: The hash before the first record.
ZERO = "0" * 64
#: Fields that a record gets when it is sealed; ``hash`` and ``signature`` are about the others.
PLACE = ("seq", "prev_hash", "key_id")
PROOF = ("hash", "signature")
#: Whole numbers that every reader of JSON keeps exactly.
EXACT = 2**53 - 1
_UNFIT = re.compile("[\0\ud800-\udfff]")


def plain(value: Any) -> Any:
    """Return a JSON value that comes back the same from SQLite, from PostgreSQL's JSONB and from any reader of JSON.

    JSONB turns 1e20 into an integer and -0.0 into 0.0, and stores neither NUL nor half a surrogate pair. So a float
    without a fraction becomes an integer, a number beyond 2^53 becomes text, and such characters become U+FFFD.
    NaN and infinities become text too. TypeError for what is not JSON.
    """
    if isinstance(value, str):
        return _UNFIT.sub("\ufffd", value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, Mapping):
        return {_name(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def _number(value: int | float) -> int | float | str:
    # Neither is true of NaN.
    if not -EXACT <= value <= EXACT:
        return repr(value)
    return int(value) if value == int(value) else value


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError("names of a JSON object are texts")
    return _UNFIT.sub("\ufffd", name)


def canonical(value: Any) -> bytes:
    """Return the form that is hashed: UTF-8, names sorted by code point, no spaces, nothing escaped needlessly."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_of(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a content's canonical form, in hex."""
    return hashlib.sha256(canonical(content)).hexdigest()


def fold(before: str, content: Mapping[str, Any]) -> str:
    """Return the running hash over records from before the chain, which have no hash of their own."""
    return hashlib.sha256(before.encode() + canonical(content)).hexdigest()


def content_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a stored record: times as RFC 3339 in UTC with microseconds, ids as text.

    A record that was never sealed has no place. (A column that comes later must be left out while it is null, or the
    hashes of older records no longer fit.)
    """
    left_out = PROOF if row["seq"] is not None else PROOF + PLACE
    return {name: text_of(value) for name, value in row.items() if name not in left_out}


def text_of(value: Any) -> Any:
    """Return a column's value as a JSON value."""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    return str(value) if isinstance(value, uuid.UUID) else value


class Signer:
    """An Ed25519 key that signs hashes. Its id is made of the public key, so neither can be exchanged alone."""

    def __init__(self, secret: bytes) -> None:
        """Derive the key from a secret of at least 32 random bytes, which it does not reveal."""
        seed = HKDF(SHA256(), 32, salt=None, info=b"hostreeve audit signing key").derive(secret)
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public_key = base64.b64encode(raw).decode()
        self.id = key_id(self.public_key)

    def sign(self, purpose: str, digest: str) -> str:
        """Return the signature in base64; ``purpose`` keeps a signature from being used for something else."""
        return base64.b64encode(self._key.sign(_message(purpose, digest))).decode()


def key_id(public_key: str) -> str:
    """Return the id of a public key (base64): the first half of its SHA-256, written as a UUID."""
    raw = base64.b64decode(public_key, validate=True)
    return str(uuid.UUID(bytes=hashlib.sha256(raw).digest()[:16]))


def is_signed(public_key: str, purpose: str, digest: str, signature: Any) -> bool:
    """Tell whether a signature is that of the key over this digest."""
    try:
        raw = base64.b64decode(signature, validate=True)
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        key.verify(raw, _message(purpose, digest))
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _message(purpose: str, digest: str) -> bytes:
    return f"hostreeve audit {purpose} {digest}".encode()
