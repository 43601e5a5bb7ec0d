"""What a key may see of jobs: those that carry or carried a resource of its brands."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.auth.keys import Actor
from api.core.kind import registry
from api.jobs.models import Delivery, JobResource


def carried(job_id: Any, resource_id: uuid.UUID) -> sa.ColumnElement[bool]:
    """Return the condition for rows of ``job_resource`` of a job and a resource."""
    kinds = [kind.name for kind in registry]
    # All kinds by name: the index begins with the kind.
    return sa.and_(JobResource.kind.in_(kinds), JobResource.resource_id == resource_id, JobResource.job_id == job_id)


def own(who: Actor, table: Any = JobResource) -> list[sa.ColumnElement[bool]]:
    """Return the conditions that leave rows about the actor's own resources."""
    if who.brands is None:
        return []
    mine = [
        sa.and_(
            table.kind == kind.name, table.resource_id.in_(sa.select(model.id).where(model.brand_id.in_(who.brands)))
        )
        for kind in registry
        if hasattr(model := kind.model, "brand_id")
    ]
    return [sa.or_(*mine)]


def may_see(session: Session, job: Any, who: Actor) -> bool:
    """Tell whether a job concerns the actor: it reported on, carries, or (queued) will carry one of its resources."""
    if who.brands is None:
        return True
    done = sa.exists().where(JobResource.job_id == job["id"], *own(who))
    carries = sa.exists().where(Delivery.job_id == job["id"], *own(who, Delivery))
    waits: sa.ColumnElement[bool] = sa.false()
    if job["state"] == "queued" and not job["purpose"]:
        waits = sa.exists().where(
            Delivery.shard_id == job["shard_id"], Delivery.state == "pending", *own(who, Delivery)
        )
    return bool(session.scalar(sa.select(sa.or_(done, carries, waits))))


def own_counts(session: Session, job_id: uuid.UUID, who: Actor) -> dict[str, int]:
    """Return a job's counts over the actor's own resources."""
    row = session.execute(
        sa.select(
            sa.func.count(JobResource.resource_id.distinct()),
            sa.func.count().filter(JobResource.changed),
            sa.func.count().filter(JobResource.failed),
        ).where(JobResource.job_id == job_id, *own(who))
    ).one()
    return dict(zip(("resources", "changed", "failed"), row, strict=True))
