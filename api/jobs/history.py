"""The history of a resource: every job that touched it, or is about to, and what that did on each host.

The history of a node is that of its host: every run there.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import marshmallow as ma
import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.kind import Kind
from api.core.paging import Order, page
from api.jobs.models import Delivery, Job, JobHost, JobResource
from api.jobs.schemas import DIFF, DifferenceSchema

JOB, HOST, RESOURCE, DELIVERY = Job.__table__, JobHost.__table__, JobResource.__table__, Delivery.__table__
ORDER = Order("created_at", [JOB.c.created_at, JOB.c.id], descending=True)
SHOWN = [JOB.c[name] for name in ("id", "state", "reason", "playbook", "full", "created_at", "started_at", "ended_at")]
RESULT = [RESOURCE.c[name] for name in ("host", "generation", "changed", "failed", "message", "diff")]


class ResultSchema(ma.Schema):
    """What a job did to the resource on one host."""

    host = ma.fields.String(required=True)
    generation = ma.fields.Integer(
        required=True, allow_none=True, metadata={"description": "the wish that was carried out; null for a node"}
    )
    changed = ma.fields.Boolean(required=True)
    failed = ma.fields.Boolean(required=True)
    message = ma.fields.String(required=True)
    diff = ma.fields.List(
        ma.fields.Nested(DifferenceSchema), required=True, allow_none=True, metadata={"description": DIFF}
    )


class HistorySchema(ma.Schema):
    """A job that touched the resource."""

    id = ma.fields.UUID(required=True, metadata={"description": "of the job"})
    state = ma.fields.String(required=True)
    reason = ma.fields.String(required=True, metadata={"description": "for keys of all brands"})
    playbook = ma.fields.String(required=True)
    full = ma.fields.Boolean(required=True)
    created_at = ma.fields.AwareDateTime(required=True)
    started_at = ma.fields.AwareDateTime(required=True, allow_none=True)
    ended_at = ma.fields.AwareDateTime(required=True, allow_none=True)
    results = ma.fields.List(
        ma.fields.Nested(ResultSchema), required=True, metadata={"description": "of the hosts that have reported"}
    )


def is_known(session: Session, kind: Kind, id_: uuid.UUID) -> bool:
    """Tell whether a job touched a resource that may be gone by now."""
    return session.scalar(sa.select(RESOURCE.c.job_id).where(*_about(RESOURCE, kind, id_)).limit(1)) is not None


def history(
    session: Session, kind: Kind, id_: uuid.UUID, *, limit: int, cursor: str | None, reasons: bool
) -> dict[str, Any]:
    """Return a page of the jobs, the newest first. ``reasons`` name hosts, so they are not for everybody."""
    told = _told(session, kind, id_)
    touched = sa.union(
        sa.select(told.c.job_id),
        sa.select(DELIVERY.c.job_id).where(*_about(DELIVERY, kind, id_), DELIVERY.c.job_id.is_not(None)),
    )
    found = page(session, sa.select(*SHOWN).where(JOB.c.id.in_(touched)), ORDER, limit=limit, cursor=cursor)
    results: dict[uuid.UUID, list[dict[str, Any]]] = {job["id"]: [] for job in found["items"]}
    for job_id, *values in session.execute(sa.select(told).where(told.c.job_id.in_(results)).order_by(told.c.host)):
        results[job_id].append(dict(zip((column.key for column in RESULT), values, strict=True)))
    for result in (one for told_ in results.values() for one in told_ if not reasons):
        result["diff"] = None
    for job in found["items"]:
        job["results"] = results[job["id"]]
        job["reason"] = job["reason"] if reasons else ""
    return found


def _told(session: Session, kind: Kind, id_: uuid.UUID) -> sa.Subquery:
    """Return what hosts told of a resource: (job id, the columns of RESULT)."""
    if kind.name != "node":
        return sa.select(RESOURCE.c.job_id, *RESULT).where(*_about(RESOURCE, kind, id_)).subquery()
    name = session.scalar(sa.select(kind.model.name).where(kind.model.id == id_))
    return (
        sa.select(
            HOST.c.job_id,
            HOST.c.host,
            sa.null().label("generation"),
            (HOST.c.changed > 0).label("changed"),
            sa.or_(HOST.c.failed > 0, HOST.c.unreachable).label("failed"),
            HOST.c.message,
            sa.null().label("diff"),
        )
        .where(HOST.c.host == name)
        .subquery()
    )


def _about(table: sa.FromClause, kind: Kind, id_: uuid.UUID) -> Sequence[sa.ColumnElement[bool]]:
    return table.c.kind == kind.name, table.c.resource_id == id_
