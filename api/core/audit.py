"""The audit: one row per mutation and per run, in the transaction of what it records; the table takes no changes.

Rows wait in the session until just before the commit, and are then sealed into the chain (``api.core.chain``).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask import g, has_request_context, request
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.core.chain import seal
from api.core.db import Base, Id, JsonList, JsonMap, now
from auditchain import plain

REDACTED = "***"
#: Key of ``session.info`` for the rows that wait for the commit.
WAITING = "audit"


class Audit(Base):
    """Who did what to which resource, when, and with which result."""

    __tablename__ = "audit"

    id: Mapped[Id]
    at: Mapped[datetime] = mapped_column(default=now)
    #: the API key; null for what the platform does by itself
    actor_id: Mapped[uuid.UUID | None]
    actor_name: Mapped[str] = mapped_column(sa.String(128))
    #: create, update, delete, retry, an action of the kind, or run
    action: Mapped[str] = mapped_column(sa.String(32))
    kind: Mapped[str] = mapped_column(sa.String(32))
    resource_id: Mapped[uuid.UUID]
    brand_id: Mapped[uuid.UUID | None]
    before: Mapped[dict[str, Any] | None] = mapped_column(JsonMap)
    after: Mapped[dict[str, Any] | None] = mapped_column(JsonMap)
    #: accepted for a mutation; the end of a run for a run
    result: Mapped[str] = mapped_column(sa.String(32))
    duration_ms: Mapped[int]
    job_ids: Mapped[list[str]] = mapped_column(JsonList)
    trace_id: Mapped[str] = mapped_column(sa.String(32), default="")
    remote_addr: Mapped[str] = mapped_column(sa.String(64), default="")
    #: the place in the chain, without gaps from 1 on, and its proof; null: from before there was a chain
    seq: Mapped[int | None] = mapped_column(sa.BigInteger)
    prev_hash: Mapped[str | None] = mapped_column(sa.String(64))
    key_id: Mapped[uuid.UUID | None]
    hash: Mapped[str | None] = mapped_column(sa.String(64))
    signature: Mapped[str | None] = mapped_column(sa.String(88))

    __table_args__ = (
        sa.Index("uq_audit_seq", "seq", unique=True),
        sa.Index(None, "at", "id"),
        sa.Index(None, "brand_id", "at", "id"),
        sa.Index(None, "resource_id", "at", "id"),
        sa.Index(None, "actor_id", "at", "id"),
        sa.Index(None, "kind", "at", "id"),
    )


def record(session: Session, **fields: Any) -> Audit:
    """Let the session's transaction end with a row of the audit, made by ``new``; rolled back, it never was."""
    row = new(**fields)
    if not session.in_transaction():
        session.begin()
    session.info.setdefault(WAITING, []).append(row)
    return row


@sa.event.listens_for(Session, "before_commit")
def _seal(session: Session) -> None:
    """Seal what waits, whoever commits: there is no way to write a record that is not in the chain."""
    if session.in_nested_transaction():
        return
    if rows := session.info.pop(WAITING, None):
        seal(session, rows, new)


@sa.event.listens_for(Session, "after_rollback")
def _forget(session: Session) -> None:
    session.info.pop(WAITING, None)


def new(
    *,
    actor: Any,
    action: str,
    kind: str,
    resource_id: uuid.UUID,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
    result: str,
    duration_ms: int,
    job_ids: Iterable[uuid.UUID],
    brand_id: uuid.UUID | None = None,
) -> Audit:
    """Make a row.

    ``actor`` is an ``api.auth.keys.Actor``, or the name of the part of the platform that acted. ``before`` and
    ``after`` hold what changed, as JSON values, with secrets already redacted (``snapshot`` and ``changes`` do so).
    """
    return Audit(
        id=uuid.uuid4(),
        at=now(),
        actor_id=getattr(actor, "id", None),
        actor_name=getattr(actor, "name", actor),
        action=action,
        kind=kind,
        resource_id=resource_id,
        brand_id=brand_id,
        before=plain(before),
        after=plain(after),
        result=result,
        duration_ms=duration_ms,
        job_ids=[str(job_id) for job_id in job_ids],
        trace_id=g.get("trace_id", "") if has_request_context() else "",
        remote_addr=(request.remote_addr or "")[:64] if has_request_context() else "",
    )


def snapshot(row: Any) -> dict[str, Any]:
    """Return all fields of a row as JSON values, secrets redacted."""
    return {attribute.key: _plain(attribute.columns[0], getattr(row, attribute.key)) for attribute in _columns(row)}


def changes(row: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields of a row that changed since the last flush, before and after, secrets redacted.

    The counters and times that every write moves are left out.
    """
    before, after = {}, {}
    attributes = sa.inspect(row).attrs
    for attribute in _columns(row):
        history = attributes[attribute.key].history
        if attribute.key in ("revision", "updated_at") or not history.has_changes():
            continue
        column = attribute.columns[0]
        before[attribute.key] = _plain(column, (history.deleted or (None,))[0])
        after[attribute.key] = _plain(column, (history.added or (None,))[0])
    return before, after


def _columns(row: Any) -> Any:
    return [item for item in sa.inspect(row).mapper.column_attrs if not item.columns[0].info.get("hidden")]


def _plain(column: sa.Column[Any], value: Any) -> Any:
    if column.info.get("secret") and value is not None:
        return REDACTED
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, uuid.UUID) else value
