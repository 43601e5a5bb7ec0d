"""The history of a resource: every job that touched it, or is about to, and what that did on each host."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import marshmallow as ma
import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.kind import Kind
from api.core.paging import Order, page
from api.jobs.models import Delivery, Job, JobResource
from api.jobs.schemas import DIFF, DifferenceSchema

JOB, RESOURCE, DELIVERY = Job.__table__, JobResource.__table__, Delivery.__table__
ORDER = Order("created_at", [JOB.c.created_at, JOB.c.id], descending=True)
SHOWN = [JOB.c[name] for name in ("id", "state", "reason", "playbook", "full", "created_at", "started_at", "ended_at")]
RESULT = [RESOURCE.c[name] for name in ("host", "generation", "changed", "failed", "message", "diff")]


class ResultSchema(ma.Schema):
    """What a job did to the resource on one host."""

    host = ma.fields.String(required=True)
    generation = ma.fields.Integer(required=True, metadata={"description": "the wish that was carried out"})
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
    touched = sa.union(
        sa.select(RESOURCE.c.job_id).where(*_about(RESOURCE, kind, id_)),
        sa.select(DELIVERY.c.job_id).where(*_about(DELIVERY, kind, id_), DELIVERY.c.job_id.is_not(None)),
    )
    found = page(session, sa.select(*SHOWN).where(JOB.c.id.in_(touched)), ORDER, limit=limit, cursor=cursor)
    results: dict[uuid.UUID, list[dict[str, Any]]] = {job["id"]: [] for job in found["items"]}
    told = sa.select(RESOURCE.c.job_id, *RESULT).where(*_about(RESOURCE, kind, id_), RESOURCE.c.job_id.in_(results))
    for job_id, *values in session.execute(told.order_by(RESOURCE.c.host)):
        results[job_id].append(dict(zip((column.key for column in RESULT), values, strict=True)))
    for result in (each for told in results.values() for each in told if not reasons):
        result["diff"] = None
    for job in found["items"]:
        job["results"] = results[job["id"]]
        job["reason"] = job["reason"] if reasons else ""
    return found


def _about(table: sa.FromClause, kind: Kind, id_: uuid.UUID) -> Sequence[sa.ColumnElement[bool]]:
    return table.c.kind == kind.name, table.c.resource_id == id_
