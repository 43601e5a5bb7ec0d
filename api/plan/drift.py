"""Drift: what a search found on hosts that is not as it was made, and what is done about it.

What waits for a host, or failed there, is no drift: a resource with a delivery on a host is left out there, with its
parents and children, and so are the tasks of a host that must still learn of a node. What such a host is otherwise
found to hold counts.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.announce import announce
from api.core.audit import record
from api.core.kind import registry
from api.jobs.claim import SITE, Claim
from api.jobs.dispatch import ensure_job
from api.jobs.models import Delivery, Job, JobResource
from api.jobs.scope import parent_of
from api.jobs.sql import chunks, clock, insert
from api.plan import life, naming
from api.plan.models import Drift, Plan
from api.plan.prediction import Entry, Prediction

#: (kind, id as text, node) that is left out; without kind and id: the tasks of the node
Left = set[tuple[str, str, uuid.UUID]]
#: kind → ids
Ids = dict[str, set[uuid.UUID]]


def note(
    session: Session, held: Claim, hosts: Iterable[str], found: Prediction, parts: dict[str, str], *, whole: bool
) -> list[uuid.UUID]:
    """Keep what a search found on the hosts that it came through on, and act as the shard's policy says.

    Returns the jobs and plans that were made of it. ``parts`` are those of a plan, without the prediction; no plan is
    made of a search that did not come through ``whole``.
    """
    shard = session.get_one(registry["shard"].model, held.shard_id)
    checked = {host: held.nodes[host] for host in hosts}
    naming.name(session, found.entries)
    rows = _rows(held, checked, found.entries, _left_out(session, shard, set(checked.values())))
    known = sa.select(Drift.node_id, Drift.key).where(Drift.node_id.in_(checked.values()))
    before = {(node, key) for node, key in session.execute(known)}
    now = {(row["node_id"], row["key"]) for row in rows}
    _write(session, rows, before - now)
    new = len(now - before)
    job, plan = _act(session, shard, held, found, parts if whole else {}) if rows else (None, None)
    if rows or before:
        facts = {"found": len(rows), "new": new, "gone": len(before - now), "policy": shard.drift_policy}
        facts |= {"plan": str(plan.id)} if plan else {}
        record(
            session,
            actor="worker",
            action="drift",
            kind="shard",
            resource_id=shard.id,
            before=None,
            after=facts,
            result="found" if rows else "gone",
            duration_ms=0,
            job_ids=[held.job_id, *([job.id] if job else [])],
        )
    if new or plan or job:
        told: dict[str, Any] = {"shard": shard.name, "found": len(rows), "new": new, "policy": shard.drift_policy}
        told |= {"hosts": sorted({row["host"] for row in rows}), "names": [row["name"] for row in rows[:20]]}
        announce(session, "drift_found", "shard", shard.id, told)
    return [made.id for made in (job, plan) if made]


def repaired(session: Session, job_id: uuid.UUID, nodes: Iterable[uuid.UUID]) -> None:
    """Forget the drift of nodes that a whole run has just been made well; what failed in it stays."""
    failed = sa.exists().where(
        JobResource.job_id == job_id,
        JobResource.kind == Drift.kind,
        JobResource.resource_id == Drift.resource_id,
        JobResource.host == Drift.host,
        JobResource.failed,
    )
    ids = list(nodes)
    session.execute(
        sa.delete(Drift).where(Drift.node_id.in_(ids), ~failed).execution_options(synchronize_session=False)
    )


def _act(
    session: Session, shard: Any, held: Claim, found: Prediction, parts: dict[str, str]
) -> tuple[Job | None, Plan | None]:
    """Repair or offer, as the policy says."""
    if shard.drift_policy == "repair":
        job = ensure_job(session, shard.id, full=True)
        # Also what belongs to no resource.
        job.playbook = SITE
        session.flush()
        return job, None
    if shard.drift_policy == "ask" and parts:
        hash_ = life.hash_of({**parts, "prediction": found.hash()})
        live = sa.select(Plan.id).where(
            Plan.shard_id == shard.id, Plan.hash == hash_, Plan.state.in_(("ready", "approved", "applying"))
        )
        if session.scalar(live.limit(1)) is None:
            plan = Plan(id=uuid.uuid4(), shard_id=shard.id, subject=shard.name, origin="drift", job_id=held.job_id)
            plan.requested_by = "drift"
            session.add(plan)
            session.flush()
            life.ready(session, plan, parts, found, held.nodes)
            return None, plan
    return None, None


def _rows(held: Claim, checked: dict[str, uuid.UUID], entries: list[Entry], left: Left) -> list[dict[str, Any]]:
    """Return the rows of what was found; two tasks of one name on a host are numbered."""
    rows: dict[tuple[uuid.UUID, str], dict[str, Any]] = {}
    for entry in entries:
        node = checked.get(entry["host"])
        # A handler only follows something that is told itself.
        if node is None or entry["handler"]:
            continue
        is_task = not entry["kind"] and entry["name"] == entry["task"]
        if ("", "", node) in left if is_task else (entry["kind"], entry["resource_id"] or "", node) in left:
            continue
        what = entry["resource_id"] or entry["name"]
        first = f"{entry['kind'] or ('task' if is_task else 'orphan')}:{what}"[:290]
        key = next(key for key in (first, *(f"{first}#{n}" for n in range(2, 10_000))) if (node, key) not in rows)
        rows[node, key] = {
            "shard_id": held.shard_id,
            "node_id": node,
            "host": entry["host"],
            "key": key,
            "kind": entry["kind"],
            "resource_id": uuid.UUID(entry["resource_id"]) if entry["resource_id"] else None,
            **{name: entry[name] for name in ("name", "task", "message", "diff")},
            "job_id": held.job_id,
        }
    return list(rows.values())


def _write(session: Session, rows: list[dict[str, Any]], gone: set[tuple[uuid.UUID, str]]) -> None:
    for part in chunks(sorted(gone)):
        session.execute(
            sa.delete(Drift)
            .where(sa.tuple_(Drift.node_id, Drift.key).in_(part))
            .execution_options(synchronize_session=False)
        )
    statement = insert(session, Drift.__table__)
    fresh = {name: statement.excluded[name] for name in ("host", "name", "task", "message", "diff", "job_id")}
    statement = statement.on_conflict_do_update(
        index_elements=["node_id", "key"], set_={**fresh, "last_seen": clock(session)}
    )
    for some in chunks(rows):
        session.execute(statement, [{"id": uuid.uuid4(), **row} for row in some])


def _left_out(session: Session, shard: Any, nodes: set[uuid.UUID]) -> Left:
    """Return what has a delivery, pending, under way or failed, with its parents and children in the role."""
    left: Left = set()
    owed: dict[uuid.UUID, Ids] = {}
    for kind, id_, node in session.execute(
        sa.select(Delivery.kind, Delivery.resource_id, Delivery.node_id).where(Delivery.node_id.in_(nodes))
    ):
        if kind == "node":
            left.add(("", "", node))
        owed.setdefault(node, {}).setdefault(kind, set()).add(id_)
    for node, ids in owed.items():
        for about in (ids, *_around(session, shard.role, ids)):
            left.update((kind, str(id_), node) for kind, members in about.items() for id_ in members)
    return left


def _around(session: Session, role: str, ids: Ids) -> tuple[Ids, Ids]:
    """Return rows with their ancestors, and rows with their descendants, among what a role carries."""
    carried = [(kind, parent) for kind in registry if role in kind.carries and (parent := parent_of(kind))]
    above, below = ({name: set(members) for name, members in ids.items()} for _ in range(2))
    for kind, parent in reversed(carried):
        table = kind.model.__table__
        for part in chunks(sorted(above.get(kind.name, ()))):
            found = session.scalars(sa.select(table.c[kind.parent]).where(table.c.id.in_(part)))
            above.setdefault(parent.name, set()).update(found)
    for kind, parent in carried:
        table = kind.model.__table__
        for part in chunks(sorted(below.get(parent.name, ()))):
            found = session.scalars(sa.select(table.c.id).where(table.c[kind.parent].in_(part)))
            below.setdefault(kind.name, set()).update(found)
    return above, below
