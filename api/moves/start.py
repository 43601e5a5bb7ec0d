"""A move is asked for, tried again, confirmed: what requests do."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.errors import conflict, invalid, not_found
from api.core.kind import Kind, Moving, registry
from api.jobs.models import Job
from api.jobs.sql import clock, is_postgresql
from api.moves.models import OPEN, Move
from api.operations import core as operations


def start(session: Session, kind: Kind, row: Any, body: dict[str, Any], who: str) -> tuple[Move, Job]:
    """Queue the move of a locked row to another shard; ApiError where it cannot go there."""
    shards = registry["shard"].model
    chosen = sa.select(shards).where(shards.id == body["shard_id"])
    target = session.scalar(chosen.with_for_update(read=True, key_share=True))
    if target is None:
        raise not_found("shard_id", "There is no such shard.")
    source = session.get_one(shards, row.shard_id)
    if target.role != source.role:
        raise invalid("shard_id", f"must be a shard of the role {source.role}")
    if target.id == source.id:
        raise invalid("shard_id", "is where it is already")
    if target.delete_requested:
        raise conflict("The shard is being deleted.", "shard_id")
    move = Move(
        id=uuid.uuid4(),
        kind=kind.name,
        resource_id=row.id,
        name=getattr(row, kind.title),
        brand_id=getattr(row, kind.brand) if kind.brand else None,
        source_id=source.id,
        target_id=target.id,
        lock_seconds=body["lock_seconds"],
        requested_by=who,
    )
    job = _begin(session, kind, row, move, who)
    session.add(move)
    session.flush()
    return move, job


def retry(session: Session, move: Move, who: str) -> Job:
    """Queue another try of a move that came to nothing; what it has copied already is not copied again."""
    if move.state not in ("failed", "canceled"):
        raise conflict(f"The move is {move.state}; only one that failed or was canceled can be tried again.", "state")
    kind = registry[move.kind]
    row = session.scalar(sa.select(kind.model).where(kind.model.id == move.resource_id).with_for_update(of=kind.model))
    if row is None:
        raise not_found()
    if row.shard_id != move.source_id:
        raise conflict("It is on another shard by now; make a new move.", "source_id")
    job = _begin(session, kind, row, move, who)
    move.state, move.message, move.progress, move.ended_at = "copying", "", {}, None
    session.flush()
    return job


def confirm(session: Session, move: Move, who: str) -> Job | None:
    """Queue the end of what stayed behind at the source; None where no node is left that could have it."""
    if move.state != "switched":
        raise conflict(f"The move is {move.state}; only one that has switched can be confirmed.", "state")
    kind, shards = registry[move.kind], registry["shard"].model
    source = session.get_one(shards, move.source_id)
    row = session.get_one(kind.model, move.resource_id)
    find = _moving(kind).node
    node = _primary(session, source) if find is None else find(session, row, source, move.source_address)
    if node is None:
        move.state, move.message = "confirmed", "the old copy went with its node"
        move.ended_at = clock(session)
        session.flush()
        session.refresh(move)
        return None
    variables = {_moving(kind).variable: move.name, "move_source": node.name, "move_step": "confirm"}
    job = operations.begin(session, drops(kind), [source], variables, who)
    move.state, move.message, move.drop_job_id = "confirming", "", job.id
    session.flush()
    return job


def locked(session: Session, id_: uuid.UUID) -> Move:
    """Return a move, locked against others; 404 if there is none."""
    chosen = sa.select(Move).where(Move.id == id_).execution_options(populate_existing=True)
    move = session.scalar(chosen.with_for_update() if is_postgresql(session) else chosen)
    if move is None:
        raise not_found()
    return move


def moves(kind: Kind) -> str:
    """Return the name of the operation that moves rows of a kind."""
    return f"move_{kind.name}"


def drops(kind: Kind) -> str:
    """Return the name of the operation that drops what stayed behind."""
    return f"drop_{kind.name}"


def primary_of(session: Session, shard: Any) -> Any:
    """Return the node of a shard that has the data to be copied, or gets it; 409 if there is none yet."""
    found = _primary(session, shard)
    if found is None:
        raise conflict(f"The shard {shard.name} has no node yet.", "shard_id")
    return found


def _primary(session: Session, shard: Any) -> Any:
    node = registry["node"].model
    chosen = sa.select(node).where(node.shard_id == shard.id, node.delete_requested.is_(False))
    return session.scalar(chosen.order_by(node.is_primary.desc(), node.name).limit(1))


def _moving(kind: Kind) -> Moving:
    assert kind.move is not None  # noqa: S101 - other kinds have no such routes
    return kind.move


def _node_of(session: Session, kind: Kind, row: Any, shard: Any) -> Any:
    find = _moving(kind).node
    return primary_of(session, shard) if find is None else find(session, row, shard, "")


def _begin(session: Session, kind: Kind, row: Any, move: Move, who: str) -> Job:
    if row.delete_requested:
        raise conflict("This is being deleted.")
    under_way = sa.select(Move.state).where(
        Move.kind == kind.name,
        Move.resource_id == row.id,
        Move.id != move.id,
        Move.state.in_(("copying", "confirming")),
    )
    if session.scalar(under_way.limit(1)) is not None:
        raise conflict("This is moving already.", "state")
    if row.status != "active":
        raise conflict(f"This is {row.status}; only what is active can be moved.", "status")
    shards = registry["shard"].model
    source, target = (session.get_one(shards, id_) for id_ in (move.source_id, move.target_id))
    from_, to = _node_of(session, kind, row, source), _node_of(session, kind, row, target)
    move.source_address, move.target_address = from_.address, to.address
    variables = {
        _moving(kind).variable: move.name,
        "move_source": from_.name,
        "move_target": to.name,
        "move_step": "copy",
        "move_lock_seconds": move.lock_seconds,
    }
    # The target's workers reach both: the target pulls.
    job = operations.begin(session, moves(kind), [target, source], variables, who)
    move.job_id = job.id
    return job


def must_stay(session: Session, kind: Kind, row: Any) -> None:
    """Keep a row whose second copy is somewhere from being deleted."""
    if kind.move is None:
        return
    state = session.scalar(
        sa.select(Move.state).where(Move.kind == kind.name, Move.resource_id == row.id, Move.state.in_(OPEN)).limit(1)
    )
    if state == "switched":
        raise conflict("Its old copy is still there: confirm the move first.")
    if state is not None:
        raise conflict("This is moving to another shard: wait for that, or cancel its job.")
