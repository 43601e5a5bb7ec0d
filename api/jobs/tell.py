"""What the job engine announces: the life of a job, and what became of a resource."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.announce import Facts, announce_many
from api.core.kind import Kind, registry
from api.jobs.models import Job
from api.jobs.sql import chunks
from api.launch.models import Launch

#: Status of a resource → topic; ``deleted`` is one whose row is gone.
TOPIC = {
    "active": "resource_active",
    "suspended": "resource_active",
    "failed": "resource_failed",
    "deleted": "resource_gone",
}


def job(session: Session, topic: str, job_id: uuid.UUID) -> None:
    """Announce what happened to a job."""
    announce_many(session, topic, "job", [job_id], lambda _: {job_id: _job_facts(session, job_id)})


def job_ended(session: Session, job_id: uuid.UUID, state: str) -> None:
    """Announce the end of a job; all but a success is a failure, and ``state`` in the facts says which."""
    job(session, "job_successful" if state == "successful" else "job_failed", job_id)


def _job_facts(session: Session, job_id: uuid.UUID) -> dict[str, Any]:
    shard = registry["shard"].model
    columns = [
        *(Job.state, Job.reason, Job.playbook, Job.purpose, Job.shard_id, shard.name.label("shard")),
        *(Job.resources, Job.changed, Job.failed),
        *(Launch.template_id, Launch.template, Launch.schedule_id, Launch.requested_by),
    ]
    row = session.execute(
        sa.select(*columns)
        .select_from(Job)
        .outerjoin(shard, shard.id == Job.shard_id)
        .outerjoin(Launch, Launch.job_id == Job.id)
        .where(Job.id == job_id)
    ).mappings()
    return {name: _plain(value) for name, value in row.one().items()}


def resources(session: Session, kind: Kind, ids: Collection[uuid.UUID], status: str, job_id: Any = None) -> None:
    """Announce a status that rows have come to."""
    announce_many(session, TOPIC[status], kind.name, ids, lambda wanted: facts_of(session, kind, wanted, job_id))


def resource(session: Session, kind: Kind, row: Any, status: str) -> None:
    """Announce a status that a row comes to without a run; ``deleted`` while the row is still there."""

    def facts(wanted: Collection[uuid.UUID]) -> Facts:
        return {id_: {**told, "status": status} for id_, told in facts_of(session, kind, wanted).items()}

    announce_many(session, TOPIC[status], kind.name, [row.id], facts)


def gone(session: Session, kind: Kind, rows: Mapping[uuid.UUID, Any], job_id: Any = None) -> None:
    """Announce rows that were deleted: id → a row with title, generation, brand_id, tenant_id and parent."""

    def facts(wanted: Collection[uuid.UUID]) -> Facts:
        tenants = _tenants_above(session, kind, {rows[id_].parent for id_ in wanted} - {None})
        found: Facts = {}
        for id_ in wanted:
            row = rows[id_]
            tenant = id_ if kind.name == "tenant" else row.tenant_id or tenants.get(row.parent)
            found[id_] = last_facts(row.title, row.generation, row.brand_id, tenant, job_id=job_id)
        return found

    announce_many(session, TOPIC["deleted"], kind.name, list(rows), facts)


def facts_of(session: Session, kind: Kind, ids: Iterable[uuid.UUID], job_id: Any = None) -> Facts:
    """Return what is told of rows."""
    table = kind.model.__table__
    brand = table.c[kind.brand] if kind.brand else sa.null()
    found: Facts = {}
    for part in chunks(ids):
        for row in session.execute(
            sa.select(
                table.c.id,
                table.c[kind.title].label("name"),
                table.c.status,
                table.c.status_message.label("message"),
                table.c.generation,
                brand.label("brand_id"),
                _tenant(kind).label("tenant_id"),
            ).where(table.c.id.in_(part))
        ):
            found[row.id] = {name: _plain(value) for name, value in row._mapping.items() if name != "id"}
            found[row.id]["job_id"] = _plain(job_id)
    return found


def last_facts(name: str, generation: int, brand_id: Any, tenant_id: Any, *, job_id: Any = None) -> dict[str, Any]:
    """Return what is told of a row that is gone."""
    found = {"name": name, "status": "deleted", "message": "", "generation": generation}
    found |= {"brand_id": _plain(brand_id), "tenant_id": _plain(tenant_id), "job_id": _plain(job_id)}
    return found


def _tenant(kind: Kind) -> sa.ColumnElement[Any]:
    """Return the expression for the tenant to whom a row belongs."""
    table = kind.model.__table__
    if kind.name == "tenant":
        return table.c.id
    if "tenant_id" in table.c:
        return table.c.tenant_id
    parent = _parent(kind)
    if parent is None:
        return sa.null()
    above = parent.model.__table__
    return sa.select(_tenant(parent)).where(above.c.id == table.c[kind.parent]).correlate(table).scalar_subquery()


def _parent(kind: Kind) -> Kind | None:
    if kind.parent is None:
        return None
    return registry[next(iter(kind.model.__table__.c[kind.parent].foreign_keys)).column.table.name]


def _tenants_above(session: Session, kind: Kind, parents: Collection[uuid.UUID]) -> dict[uuid.UUID, Any]:
    """Return parent's id → tenant, of rows that are gone themselves."""
    parent = _parent(kind)
    if parent is None or not parents:
        return {}
    table = parent.model.__table__
    found: dict[uuid.UUID, Any] = {}
    for part in chunks(parents):
        rows = session.execute(sa.select(table.c.id, _tenant(parent).label("tenant_id")).where(table.c.id.in_(part)))
        found.update({row.id: row.tenant_id for row in rows})
    return found


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, uuid.UUID) else value
