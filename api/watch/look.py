"""One look at a shard: who has it, what the nodes answer, what is kept and announced, and whether a replica takes over.

Any number of processes may look; whoever moves a shard's next time on has that look.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.audit import record
from api.jobs.models import Job, Lease
from api.jobs.sql import clock, insert, is_postgresql, read_clock
from api.jobs.terminal import TerminalRun
from api.kinds.node import Node
from api.kinds.shard import Shard
from api.operations import core as operations
from api.operations.primary import FAILOVER, MOVES, WATCH
from api.watch.answers import Answer
from api.watch.judge import Seen, Verdict, covered, health, verdict
from api.watch.models import ShardHealth
from api.watch.telling import halt, tell

#: Shards that one process takes on at a time.
MOST = 50
#: Seconds for which a state must last before others are told, between two looks that belong together, and that a look
#: may take before somebody else has the next one.
LASTS, CONTINUOUS, HOLD = 10, 15, 10
UNCOVERED = "it is not known that a replica has all that was acknowledged: playbooks/failover.yml, or REST, decides"


@dataclass(frozen=True)
class Target:
    """A shard that is to be looked at now, and its nodes: (id, name, address, whether it is the recorded primary)."""

    shard_id: uuid.UUID
    began: datetime
    nodes: list[tuple[uuid.UUID, str, str, bool]]


@dataclass(frozen=True)
class Look:
    """What was seen of a shard, and what it says about the primary."""

    began: datetime
    seen: list[Seen]
    found: Verdict


def due(session: Session) -> list[uuid.UUID]:
    """Return the shards that are to be looked at now; makes the rows of new ones."""
    known = sa.exists().where(ShardHealth.shard_id == Shard.id)
    for shard_id in session.scalars(sa.select(Shard.id).where(Shard.role == "db", ~known)).all():
        row = {"shard_id": shard_id, "since": read_clock(session), "next_at": read_clock(session)}
        session.execute(insert(session, ShardHealth).values(row).on_conflict_do_nothing())
    chosen = sa.select(ShardHealth.shard_id).where(ShardHealth.next_at <= clock(session))
    return list(session.scalars(chosen.order_by(ShardHealth.next_at).limit(MOST)))


def take(session: Session, shard_id: uuid.UUID) -> Target | None:
    """Take the look at a shard, if it is still due."""
    moment = read_clock(session)
    moved = session.execute(
        sa.update(ShardHealth)
        .where(ShardHealth.shard_id == shard_id, ShardHealth.next_at <= moment)
        .values(next_at=moment + timedelta(seconds=HOLD))
        .execution_options(synchronize_session=False)
    )
    if not moved.rowcount:  # type: ignore[attr-defined]
        return None
    rows = session.execute(
        sa.select(Node.id, Node.name, Node.address, Node.is_primary)
        # One that is still being made into a server has nothing to say yet.
        .where(Node.shard_id == shard_id, Node.delete_requested.is_(False))
        .where(sa.or_(Node.generation > 1, Node.status == "active"))
        .order_by(Node.name)
    )
    return Target(shard_id, moment, [(row.id, row.name, row.address, row.is_primary) for row in rows])


def write(session: Session, target: Target, answers: dict[str, Answer | None], pause: float) -> Job | None:
    """Keep what was seen, announce what changed, and return the failover that was begun, if one was.

    The next look is due ``pause`` seconds after this one began.
    """
    shard = session.scalar(sa.select(Shard).where(Shard.id == target.shard_id).with_for_update(read=True))
    chosen = sa.select(ShardHealth).where(ShardHealth.shard_id == target.shard_id)
    row = session.scalar(chosen.with_for_update() if is_postgresql(session) else chosen)
    if shard is None or row is None or (row.looked_at is not None and row.looked_at >= target.began):
        # The shard is gone, or a later look was quicker.
        return None
    seen = [Seen(name, address, primary, answers.get(address)) for _, name, address, primary in target.nodes]
    look = Look(target.began, seen, verdict(seen))
    row.nodes = _facts(target, answers, row.nodes)
    row.covered_at = covered(seen, look.found.gone, row.covered_at, look.began)
    begun = _consider(session, shard, row, look)
    row.looked_at, row.next_at = target.began, target.began + timedelta(seconds=pause)
    _settle(session, shard, row, *health(seen, shard.lag_seconds))
    return begun


def _facts(target: Target, answers: dict[str, Answer | None], before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    past = {entry["node_id"]: entry for entry in before}
    facts = []
    for id_, name, address, primary in target.nodes:
        entry = {"node_id": str(id_), "name": name, "address": address, "is_primary": primary}
        answer = answers.get(address)
        entry["answered_at"] = (
            target.began.isoformat() if answer is not None else past.get(str(id_), {}).get("answered_at")
        )
        facts.append({**entry, "answer": answer})
    return facts


def _settle(session: Session, shard: Shard, row: ShardHealth, state: str, problems: list[str]) -> None:
    if row.halted:
        problems = [*problems, f"no automatic failover: {row.halted}"]
    if state != row.state:
        row.state, row.since = state, row.looked_at or row.since
    row.problems = problems
    lasts = row.looked_at is not None and row.looked_at - row.since >= timedelta(seconds=LASTS)
    if row.state == row.told or not lasts or not row.nodes:
        return
    born, row.told = not row.told, row.state
    # That a new shard is well is no news.
    if not born or state != "healthy":
        topic = {"healthy": "shard_healthy", "degraded": "shard_degraded"}.get(state, "shard_down")
        tell(session, topic, shard, {"state": state, "problems": problems})


# --- automatic failover -----------------------------------------------------------------------------------------------


def _consider(session: Session, shard: Shard, row: ShardHealth, look: Look) -> Job | None:
    """Count for how long the primary has been gone, and begin a failover once that is long enough."""
    if not shard.automatic_failover or (row.halted == UNCOVERED and any(node.takes_writes for node in look.seen)):
        row.halted = ""
    paused = row.looked_at is None or look.began - row.looked_at > timedelta(seconds=CONTINUOUS)
    since = look.began if paused or row.gone_since is None else row.gone_since
    if not look.found.gone or _disturbed(session, shard, [node.name for node in look.seen], since):
        row.gone_since = None
        return None
    row.gone_since = since
    if not shard.automatic_failover or row.halted or look.began - since < timedelta(seconds=shard.failover_after):
        return None
    if row.covered_at != look.began:
        halt(session, shard, row, UNCOVERED)
        return None
    return _begin(session, shard, row, look)


def _disturbed(session: Session, shard: Shard, hosts: list[str], since: datetime) -> bool:
    """Tell whether somebody moves the primary, or runs Ansible on the hosts since before it was gone.

    Such a run may have stopped it, to start it again. One that began later has not.
    """
    if operations.under_way(session, shard.id, MOVES) is not None:
        return True
    began = sa.func.coalesce(Job.started_at, TerminalRun.created_at)
    held = (
        sa.select(Lease.host)
        .outerjoin(Job, Job.id == Lease.holder)
        .outerjoin(TerminalRun, TerminalRun.id == Lease.holder)
        .where(Lease.host.in_(hosts), Lease.holder.is_not(None), Lease.expires_at > clock(session))
        .where(sa.or_(began.is_(None), began <= since))
    )
    return session.scalar(held.limit(1)) is not None


def _begin(session: Session, shard: Shard, row: ShardHealth, look: Look) -> Job:
    dead = next(node.name for node in look.seen if node.is_primary)
    job = operations.begin(session, FAILOVER, [shard], {"db_dead_primary": dead, "db_must_be_dead": True}, WATCH)
    since = row.gone_since.isoformat() if row.gone_since else ""
    facts: dict[str, Any] = {"primary": dead, "gone_since": since, "platform": look.found.platform}
    facts["replicas"] = look.found.replicas
    record(
        session,
        actor=WATCH,
        action=FAILOVER,
        kind="shard",
        resource_id=shard.id,
        before={},
        after=facts,
        result="accepted",
        duration_ms=0,
        job_ids=[job.id],
    )
    tell(session, "failover_begun", shard, {**facts, "job_id": str(job.id)})
    row.gone_since = None
    return job
