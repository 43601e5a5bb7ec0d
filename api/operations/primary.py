"""The primary of a db shard: the operations that move it or look for it, and what their ends mean to the platform.

Who takes writes is what the servers say, never what a run was meant to do: a run that ended without telling is followed
by one that only looks.
"""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core import audit
from api.core.kind import registry
from api.jobs import dispatch
from api.jobs.models import Delivery, Job
from api.jobs.status import touch
from api.launch.models import Launch
from api.operations.core import Heard, Operation, add, begin
from api.watch.models import ShardHealth
from api.watch.telling import halt

SWITCHOVER, FAILOVER, LOOK, REBUILD = "switchover", "failover", "primary", "rebuild"
#: One of them at a time.
MOVES = (SWITCHOVER, FAILOVER, LOOK, REBUILD)
#: Who asks for a failover that nobody asked for.
WATCH = "watch"
#: Looks whose run vanished before somebody else must look.
TRIES = 3


def moved(session: Session, launch: Launch, reason: str, _heard: Heard) -> None:
    """A switchover or failover has ended."""
    shard = _shard(session, launch)
    if shard is None or launch.check:
        return
    name = _told(launch)
    if name and note(session, shard, name, launch):
        _clear(session, shard)
        return
    if _began(session, launch):
        begin(session, LOOK, [shard], {}, launch.requested_by)
    if launch.operation == FAILOVER and launch.requested_by == WATCH:
        _halt(session, shard, f"job {launch.job_id} ended without a new primary: {reason or 'it told of none'}")


def looked(session: Session, launch: Launch, reason: str, _heard: Heard) -> None:
    """A look for the primary has ended."""
    shard = _shard(session, launch)
    if shard is None:
        return
    name = _told(launch)
    if name:
        was = _primary(session, shard)
        if note(session, shard, name, launch):
            _clear(session, shard)
            if was is not None and was.name == name:
                # A move that was interrupted may have left the others half way.
                _deliver(session, was)
    elif name is None and _began(session, launch):
        again = int(launch.variables.get("db_try", 1))
        if _vanished(session, launch) and again < TRIES:
            begin(session, LOOK, [shard], {"db_try": again + 1}, launch.requested_by)
    elif name == "":
        # Nobody takes writes: converging opens the recorded primary, if it may.
        was = _primary(session, shard)
        if was is not None:
            _deliver(session, was)


def rebuilt(session: Session, launch: Launch, reason: str, _heard: Heard) -> None:
    """A replica has been made a copy of the primary, or not; converging carries what it had refused."""
    model = registry["node"].model
    node = session.scalar(sa.select(model).where(model.name == launch.variables["db_rebuild_node"]).with_for_update())
    if node is None or node.delete_requested or reason or launch.check:
        return
    refused = sa.and_(Delivery.node_id == node.id, Delivery.state == "failed")
    ids: dict[str, set[uuid.UUID]] = {}
    for kind, id_ in session.execute(sa.select(Delivery.kind, Delivery.resource_id).where(refused)):
        ids.setdefault(kind, set()).add(id_)
    touch(session, ids)
    _deliver(session, node)
    session.execute(
        sa.update(Delivery)
        .where(refused)
        .values(state="pending", job_id=None, message="", retry_at=None, tries=0)
        .execution_options(synchronize_session=False)
    )


def note(session: Session, shard: Any, name: str, launch: Launch) -> bool:
    """Record the node that takes writes, and tell all who must know; False if the shard has no such node."""
    model = registry["node"].model
    node = session.scalar(sa.select(model).where(model.shard_id == shard.id, model.name == name).with_for_update())
    if node is None:
        return False
    if node.is_primary:
        return True
    before = _primary(session, shard)
    registry["node"].actions["promote"](session, node)
    session.flush()
    audit.record(
        session,
        actor=launch.requested_by,
        action="promote",
        kind="node",
        resource_id=node.id,
        before={"primary": before.name if before is not None else None},
        after={"primary": node.name},
        result="successful",
        duration_ms=0,
        job_ids=[launch.job_id],
    )
    _deliver(session, node)
    return True


def _deliver(session: Session, node: Any) -> None:
    node.generation += 1
    session.flush()
    dispatch.deliver(session, registry["node"], node)


def _primary(session: Session, shard: Any) -> Any:
    model = registry["node"].model
    return session.scalar(sa.select(model).where(model.shard_id == shard.id, model.is_primary))


def _shard(session: Session, launch: Launch) -> Any:
    """Return the shard of an operation, locked; None if it is gone."""
    model = registry["shard"].model
    return session.scalar(sa.select(model).where(model.id == uuid.UUID(launch.shards[0])).with_for_update())


def _told(launch: Launch) -> str | None:
    """Return the name that the playbook told, empty if it found that nobody takes writes.

    None if it told nothing: it did not come so far, or a server did not answer that may take writes.
    """
    name = (launch.data or {}).get("db_primary")
    return name if isinstance(name, str) else None


def _began(session: Session, launch: Launch) -> bool:
    return session.scalar(sa.select(Job.started_at).where(Job.id == launch.job_id)) is not None


def _vanished(session: Session, launch: Launch) -> bool:
    return session.scalar(sa.select(Job.state).where(Job.id == launch.job_id)) == "abandoned"


def _clear(session: Session, shard: Any) -> None:
    """Somebody takes writes: automatic failover may begin again."""
    session.execute(
        sa.update(ShardHealth)
        .where(ShardHealth.shard_id == shard.id)
        .values(halted="", gone_since=None)
        .execution_options(synchronize_session=False)
    )


def _halt(session: Session, shard: Any, why: str) -> None:
    row = session.get(ShardHealth, shard.id, with_for_update=True)
    if row is not None:
        halt(session, shard, row, why)


add(Operation(SWITCHOVER, "switchover.yml", moved))
add(Operation(FAILOVER, "failover.yml", moved))
add(Operation(LOOK, "primary.yml", looked))
add(Operation(REBUILD, "rebuild.yml", rebuilt))
