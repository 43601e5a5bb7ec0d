"""Names that the platform gives."""

from __future__ import annotations

import secrets
import string

ALPHABET = string.ascii_lowercase + string.digits


def random_name(prefix: str) -> str:
    """Return the prefix and ten random lower-case letters or digits (52 bits)."""
    return prefix + "".join(secrets.choice(ALPHABET) for _ in range(10))
