"""The chain of the audit: every record is sealed at the end of the transaction that made it.

Sealing gives a record its number, the hash of the record before it, its own hash and a signature; see ``auditchain``.
It takes the lock of the one row of ``audit_head`` as the last thing before the commit, after everything else was
flushed: numbers have no gaps, whoever waits for the lock holds no more locks later, and so no deadlock can come of it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.core import crypto
from api.core.db import Base, now
from auditchain import Signer, content_of, digest_of, text_of


class AuditHead(Base):
    """Where the chain ends: one row, and the lock under which records are sealed."""

    __tablename__ = "audit_head"

    chain: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(sa.BigInteger)
    hash: Mapped[str] = mapped_column(sa.String(64))
    #: the key that signed the last record; null before the first
    key_id: Mapped[uuid.UUID | None]
    #: records from before the chain, and the running hash over them
    unsealed: Mapped[int]
    unsealed_hash: Mapped[str] = mapped_column(sa.String(64))


class AuditKey(Base):
    """The public half of a signing key, and the word of the key before it that it may be believed."""

    __tablename__ = "audit_key"

    key_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    public_key: Mapped[str] = mapped_column(sa.String(44))
    #: the key that signed this row; null: the key itself, which must be trusted otherwise
    introduced_by: Mapped[uuid.UUID | None]
    at: Mapped[datetime]
    signature: Mapped[str] = mapped_column(sa.String(88))


class AuditCheckpoint(Base):
    """Stands for the records that were pruned: the last of them, and how many they were in all."""

    __tablename__ = "audit_checkpoint"

    seq: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[str] = mapped_column(sa.String(64))
    count: Mapped[int] = mapped_column(sa.BigInteger)
    at: Mapped[datetime]
    key_id: Mapped[uuid.UUID]
    signature: Mapped[str] = mapped_column(sa.String(88))


HEAD, KEY, CHECKPOINT = (model.__table__ for model in (AuditHead, AuditKey, AuditCheckpoint))


def anchor(session: Session) -> str:
    """Return the last committed head as ``seq:hash``: what a host notes to be tied to the audit."""
    row = session.execute(sa.select(HEAD.c.seq, HEAD.c.hash)).one()
    return f"{row.seq}:{row.hash}"


def seal(session: Session, records: list[Any], new: Callable[..., Any]) -> None:
    """Write the records as the chain's newest; nothing but the commit may follow. Raises crypto.SecretKeyError.

    ``new`` makes one more record, for a key that nobody knows yet (``api.core.audit.new``).
    What can be done before the lock is taken is done before: others wait for it.
    """
    table = type(records[0]).__table__
    signer = crypto.signers()[0]
    session.flush()
    connection = session.connection()
    rows = [_row(table, record, signer) for record in records]
    head = connection.execute(LOCK).one()
    if head.key_id != uuid.UUID(signer.id) and _is_new(session, signer):
        voucher = _voucher(session, head)
        rows.insert(0, _row(table, _introduce(session, new, signer, voucher, head), voucher or signer))
    seq, last = head.seq, head.hash
    for row, content, key in rows:
        seq += 1
        content |= {"seq": seq, "prev_hash": last}
        row |= {"seq": seq, "prev_hash": last, "hash": digest_of(content)}
        last = row["hash"]
        row["signature"] = key.sign("record", last)
    moved = {"new_seq": seq, "new_hash": last, "new_key_id": uuid.UUID(signer.id)}
    insert, both = _statements(table)
    if len(rows) == 1 and connection.dialect.name == "postgresql":
        connection.execute(both, {**rows[0][0], **moved})
    else:
        connection.execute(insert, [row for row, _, _ in rows])
        connection.execute(MOVE, moved)


def _row(table: sa.Table, record: Any, key: Signer) -> tuple[dict[str, Any], dict[str, Any], Signer]:
    """Return a record's columns, its content, both without the place in the chain, and the key that will sign it."""
    row = {column.key: getattr(record, column.key) for column in table.c}
    row |= {"seq": 0, "key_id": uuid.UUID(key.id)}
    return row, content_of(row), key


LOCK = sa.select(HEAD).with_for_update()
MOVE = sa.update(AuditHead).values(
    seq=sa.bindparam("new_seq"), hash=sa.bindparam("new_hash"), key_id=sa.bindparam("new_key_id")
)


@cache
def _statements(table: sa.Table) -> tuple[Any, Any]:
    """Return the insert of records, and that of one record which moves the head as well (PostgreSQL)."""
    values: dict[str, Any] = {column.key: sa.bindparam(column.key) for column in table.c}
    return sa.insert(table), sa.insert(table).values(values).add_cte(MOVE.cte("moved"))


def _is_new(session: Session, signer: Signer) -> bool:
    return session.scalar(sa.select(KEY.c.key_id).where(KEY.c.key_id == uuid.UUID(signer.id))) is None


def _voucher(session: Session, head: Any) -> Signer | None:
    """Return the key that introduces a new one: of our older ones, one that is known. None: the chain begins."""
    if not head.seq:
        return None
    for older in crypto.signers()[1:]:
        if not _is_new(session, older):
            return older
    raise crypto.SecretKeyError(
        "HOSTREEVE_SECRET_KEY is new, and none of the keys behind it has signed the audit: keep the one before it in "
        "the list, behind a comma"
    )


def _introduce(session: Session, new: Callable[..., Any], signer: Signer, voucher: Signer | None, head: Any) -> Any:
    """Make a key known; return the record of it."""
    entry = {
        "key_id": uuid.UUID(signer.id),
        "public_key": signer.public_key,
        "introduced_by": uuid.UUID(voucher.id) if voucher else None,
        "at": now(),
    }
    digest = digest_of({name: text_of(value) for name, value in entry.items()})
    session.execute(sa.insert(AuditKey).values(**entry, signature=(voucher or signer).sign("key", digest)))
    told = {"public_key": signer.public_key, "introduced_by": voucher.id if voucher else None}
    # The chain's first record sums up what was there before it.
    before = {} if voucher else {"unsealed": head.unsealed, "unsealed_hash": head.unsealed_hash}
    return new(
        actor="platform", action="introduce", kind="audit_key", resource_id=uuid.UUID(signer.id), before=None,
        after={**told, **before}, result="successful", duration_ms=0, job_ids=(),
    )  # fmt: skip
