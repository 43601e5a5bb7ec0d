"""The audit's chain: canonical form, hashes, signatures, and verification of an export.

Used by the API, which seals records, and by ``hostctl``, which verifies them; it imports neither, nor Flask, nor
SQLAlchemy. ``docs/audit.md`` describes the format for those who write a verifier of their own.
"""

from auditchain.record import ZERO, Signer, canonical, content_of, digest_of, fold, plain, text_of
from auditchain.verify import FORMAT, Broken, Verdict, verify

__all__ = [
    "FORMAT",
    "ZERO",
    "Broken",
    "Signer",
    "Verdict",
    "canonical",
    "content_of",
    "digest_of",
    "fold",
    "plain",
    "text_of",
    "verify",
]
