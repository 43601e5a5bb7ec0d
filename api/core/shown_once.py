"""Secrets that the platform makes up: shown once, in the answer to the request that made them, and never again."""

from __future__ import annotations

import secrets
import string
from typing import Any

from api.core.kind import Kind

ALPHABET = string.ascii_letters + string.digits
#: 190 bits
LENGTH = 32


def generate() -> str:
    """Return a new secret of letters and digits, which no shell, file format or URL has to escape."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def fill(kind: Kind, row: Any) -> dict[str, Any]:
    """Make up the secret of a new row unless the caller gave it; return what the answer shows besides the row."""
    column = kind.generated
    return {} if column is None or getattr(row, column) is not None else renew(kind, row)


def renew(kind: Kind, row: Any) -> dict[str, Any]:
    """Replace the secret of a row; return what the answer shows besides the row."""
    secret = generate()
    setattr(row, str(kind.generated), secret)
    return {"secret": secret}
