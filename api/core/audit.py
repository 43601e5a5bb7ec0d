"""The audit: one row per mutation and per run, in the transaction of what it records; the table takes no changes."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask import g, has_request_context, request
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.core.db import Base, Id, JsonList, JsonMap, now

REDACTED = "***"


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

    __table_args__ = (
        sa.Index(None, "at", "id"),
        sa.Index(None, "brand_id", "at", "id"),
        sa.Index(None, "resource_id", "at", "id"),
        sa.Index(None, "actor_id", "at", "id"),
        sa.Index(None, "kind", "at", "id"),
    )


def record(
    session: Session,
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
    """Add a row to the session's transaction.

    ``actor`` is an ``api.auth.keys.Actor``, or the name of the part of the platform that acted. ``before`` and
    ``after`` hold what changed, as JSON values, with secrets already redacted (``snapshot`` and ``changes`` do so).
    """
    row = Audit(
        actor_id=getattr(actor, "id", None),
        actor_name=getattr(actor, "name", actor),
        action=action,
        kind=kind,
        resource_id=resource_id,
        brand_id=brand_id,
        before=before,
        after=after,
        result=result,
        duration_ms=duration_ms,
        job_ids=[str(job_id) for job_id in job_ids],
        trace_id=g.get("trace_id", "") if has_request_context() else "",
        remote_addr=(request.remote_addr or "")[:64] if has_request_context() else "",
    )
    session.add(row)
    return row


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
