"""``Idempotency-Key``: the same request twice is carried out once, and answered twice.

The row is written in the transaction of the mutation itself, so a refused request leaves none and may be tried again.
A concurrent twin waits for the first one's end at the primary key.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from datetime import datetime, timedelta

import sqlalchemy as sa
from flask import request
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.core.db import Base, insert, now
from api.core.errors import ApiError, invalid
from api.core.wire import body_of

HEADER = "Idempotency-Key"
GRAMMAR = re.compile(r"[\x21-\x7e]{1,128}")
LIFE = timedelta(hours=24)


class Idempotency(Base):
    """One answered request of an API key."""

    __tablename__ = "idempotency"

    actor_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(sa.String(128), primary_key=True)
    #: SHA-256 of method, path with query, and body
    fingerprint: Mapped[str] = mapped_column(sa.String(64))
    status: Mapped[int] = mapped_column(default=0)
    #: the answer, without secrets that are shown once
    body: Mapped[str] = mapped_column(sa.Text, default="")
    created_at: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (sa.Index(None, "created_at"),)


def requested_key() -> str | None:
    """Return the request's key; 422 if it is malformed."""
    key = request.headers.get(HEADER)
    if key is not None and not GRAMMAR.fullmatch(key):
        raise invalid(HEADER, "must be 1 to 128 visible ASCII characters", where="headers")
    return key


def claim(session: Session, actor_id: uuid.UUID, key: str) -> tuple[Idempotency, bool]:
    """Return the row of a key, and whether it is new; 422 if the key came with another request before."""
    fingerprint = hashlib.sha256(
        b"\n".join([request.method.encode(), request.full_path.encode(), body_of(request)])
    ).hexdigest()
    mine = sa.and_(Idempotency.actor_id == actor_id, Idempotency.key == key)
    session.execute(sa.delete(Idempotency).where(mine, Idempotency.created_at < now() - LIFE))
    created = session.scalar(
        insert(session, Idempotency)
        .values(actor_id=actor_id, key=key, fingerprint=fingerprint, created_at=now())
        .on_conflict_do_nothing()
        .returning(Idempotency)
    )
    if created is not None:
        return created, True
    found = session.scalars(sa.select(Idempotency).where(mine)).one()
    if found.fingerprint != fingerprint:
        raise ApiError(
            422,
            "This Idempotency-Key came with another request before.",
            code="IDEMPOTENCY_MISMATCH",
            details={"headers": {HEADER: ["belongs to another request"]}},
        )
    return found, False


def purge(session: Session) -> int:
    """Delete the rows older than a day; return how many. The sweeper calls this now and then."""
    done = session.execute(sa.delete(Idempotency).where(Idempotency.created_at < now() - LIFE))
    return int(done.rowcount)  # type: ignore[attr-defined]
