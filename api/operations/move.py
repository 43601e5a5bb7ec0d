"""Moves of resources to other shards: what the end of a run means.

Where a resource is in service is what the database says and nothing else: a run that ended without success, however far
it came, is followed by a converge of the source, which opens the copy there.
"""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core import audit
from api.core.announce import announce
from api.core.kind import Kind, registry
from api.jobs import dispatch, tell
from api.jobs.models import Delivery
from api.jobs.sql import clock
from api.launch.models import Launch
from api.moves.models import Move
from api.moves.start import drops, moves
from api.operations.core import Heard, Operation, add

LONGEST = 1000
#: Any other node of the target has no copy: there the resource would begin with nothing.
LOST = "the node where it was copied to is gone, or has another address"


def listen(heard: Heard, event: dict[str, Any]) -> None:
    """Gather how far a run is, and the first thing that failed."""
    result = (event.get("event_data") or {}).get("res")
    if not isinstance(result, dict):
        return
    if isinstance(result.get("progress"), dict):
        heard["progress"] = result["progress"]
    if event.get("event") in ("runner_on_failed", "runner_on_unreachable") and result.get("msg"):
        heard.setdefault("message", str(result["msg"])[:LONGEST])


def ended(session: Session, launch: Launch, reason: str, heard: Heard) -> None:
    """A run that copies has ended."""
    move = _of(session, Move.job_id == launch.job_id)
    if move is None or move.state != "copying":
        return
    move.progress = heard.get("progress", {})
    told = (launch.data or {}).get("move")
    kind = registry[move.kind]
    row = session.scalar(sa.select(kind.model).where(kind.model.id == move.resource_id).with_for_update(of=kind.model))
    lost = not reason and _lost(session, kind, move)
    if reason or not isinstance(told, dict) or row is None or lost:
        move.state = "canceled" if reason == "canceled" else "failed"
        move.message = LOST if lost else heard.get("message") or reason or "the run did not tell what it did"
        move.ended_at = clock(session)
        if row is not None and launch.job_id and _began(session, launch):
            _deliver(session, kind, row)
        return
    _switch(session, kind, row, move, told)


def _switch(session: Session, kind: Kind, row: Any, move: Move, told: dict[str, Any]) -> None:
    """Both copies are equal and nobody writes: from now on the one at the target is in service."""
    before = {"shard_id": str(row.shard_id)}
    for other, ids in _all(session, kind, row).items():
        owed = sa.and_(Delivery.kind == other, Delivery.resource_id.in_(ids), Delivery.shard_id == move.source_id)
        session.execute(sa.delete(Delivery).where(owed).execution_options(synchronize_session=False))
    # All of it at once: half of it may not be allowed.
    with session.no_autoflush:
        row.shard_id = move.target_id
        if kind.move is not None and kind.move.arrives is not None:
            kind.move.arrives(session, row, _target(session, move))
        row.generation += 1
    session.flush()
    session.refresh(row)
    _deliver(session, kind, row)
    move.state, move.result, move.switched_at = "switched", told, clock(session)
    # What had stayed there of an earlier move has been replaced; where a shard's nodes differ, only on that node.
    same = [] if kind.move is None or kind.move.node is None else [Move.source_address == move.target_address]
    session.execute(
        sa.update(Move)
        .where(
            Move.kind == kind.name,
            Move.resource_id == row.id,
            Move.source_id == move.target_id,
            Move.state == "switched",
            Move.id != move.id,
            *same,
        )
        .values(state="confirmed", message="it moved back", ended_at=clock(session))
        .execution_options(synchronize_session=False)
    )
    _record(session, move, "moved", before, {"shard_id": str(row.shard_id)})
    facts = tell.facts_of(session, kind, [row.id], move.job_id)[row.id]
    facts |= {"from": move.source_address, "to": move.target_address}
    announce(session, "resource_moved", kind.name, row.id, facts)


def _target(session: Session, move: Move) -> Any:
    node = registry["node"].model
    chosen = sa.select(node).where(node.shard_id == move.target_id, node.address == move.target_address)
    return session.scalar(chosen)


def _lost(session: Session, kind: Kind, move: Move) -> bool:
    """Tell whether a kind that lives on one node has lost the one that has the copy."""
    return kind.move is not None and kind.move.arrives is not None and _target(session, move) is None


def dropped(session: Session, launch: Launch, reason: str, heard: Heard) -> None:
    """A run that drops what stayed behind has ended."""
    move = _of(session, Move.drop_job_id == launch.job_id)
    if move is None or move.state != "confirming":
        return
    if reason:
        move.state, move.message = "switched", heard.get("message") or reason
        return
    move.state, move.ended_at = "confirmed", clock(session)
    _record(session, move, "confirmed", {"state": "switched"}, {"state": "confirmed"})


def _began(session: Session, launch: Launch) -> bool:
    from api.jobs.models import Job

    return session.scalar(sa.select(Job.started_at).where(Job.id == launch.job_id)) is not None


def _of(session: Session, which: sa.ColumnElement[bool]) -> Move | None:
    return session.scalar(sa.select(Move).where(which).with_for_update().execution_options(populate_existing=True))


def _all(session: Session, kind: Kind, row: Any) -> dict[str, list[uuid.UUID]]:
    """Return the ids of a row and of all that belongs to it, by kind."""
    found = {kind.name: [row.id]}
    for other, query in registry.below(kind, sa.select(kind.model.id).where(kind.model.id == row.id)):
        found[other.name] = [each.id for each in session.scalars(query)]
    return found


def _deliver(session: Session, kind: Kind, row: Any) -> None:
    """Let a row and all that belongs to it be carried, where it now is, in the form that is now wished."""
    dispatch.deliver(session, kind, row)
    for other, query in registry.below(kind, sa.select(kind.model.id).where(kind.model.id == row.id)):
        dispatch.deliver_many(session, other, session.scalars(query).unique())


def _record(session: Session, move: Move, action: str, before: dict[str, str], after: dict[str, str]) -> None:
    audit.record(
        session,
        actor="worker",
        action=action,
        kind=move.kind,
        resource_id=move.resource_id,
        brand_id=move.brand_id,
        before=before,
        after=after,
        result="successful",
        duration_ms=0,
        job_ids=[job for job in (move.job_id, move.drop_job_id) if job],
    )


for _kind in registry:
    if _kind.move is not None:
        add(Operation(moves(_kind), _kind.move.playbook, ended, listen))
        add(Operation(drops(_kind), _kind.move.playbook, dropped, listen))
