"""Leases of runs that no worker started: ``ansible-playbook`` in a terminal, with the platform's inventory.

Such a run has a row here for as long as it holds hosts; the hosts themselves are in ``lease``, as for a job, with the
row's id as their holder.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.auth.keys import Actor
from api.core.audit import record
from api.core.db import Base, Id, now
from api.core.errors import ApiError
from api.core.kind import registry
from api.jobs import leases
from api.jobs.models import Job, Lease
from api.jobs.sql import chunks, clock, read_clock
from api.jobs.waiting import waiting_for

EXPIRED = "not renewed in time"


class TerminalRun(Base):
    """Who holds leases without being a job."""

    __tablename__ = "terminal_run"

    id: Mapped[Id]
    #: user@machine and what is run, as the run itself says
    owner: Mapped[str] = mapped_column(sa.String(128))
    reason: Mapped[str] = mapped_column(sa.String(128))
    key_id: Mapped[uuid.UUID]
    key_name: Mapped[str] = mapped_column(sa.String(128))
    #: host → fencing token
    hosts: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)


def begin(session: Session, hosts: Iterable[str], owner: str, reason: str, *, key: Actor, seconds: int) -> TerminalRun:
    """Take the leases of all hosts. ApiError: 404 names those that are no nodes, 409 those that are held, and by whom.

    After an error the transaction must be rolled back.
    """
    wanted = sorted(set(hosts))
    unknown = set(wanted) - _nodes(session, wanted)
    if unknown:
        raise _refused(404, "Some of the hosts are no nodes of the platform.", dict.fromkeys(unknown, "is not a node"))
    run = TerminalRun(
        id=uuid.uuid4(),
        owner=owner,
        reason=reason,
        key_id=key.id,
        key_name=key.name,
        created_at=read_clock(session),
    )
    tokens = leases.acquire(session, wanted, run.id, seconds)
    if tokens is None:
        raise _refused(409, "Others run Ansible on some of the hosts.", _holders(session, wanted, run.id))
    run.hosts = tokens
    session.add(run)
    return run


def renew(session: Session, run: TerminalRun, seconds: int) -> bool:
    """Prolong the leases of a run; False if it has lost one, and must stop now."""
    return leases.renew(session, run.id, run.hosts, seconds)


def end(session: Session, run: TerminalRun) -> None:
    """Give the leases of a run back, and let the jobs that wait for its hosts begin."""
    leases.release(session, run.id, run.hosts)
    session.delete(run)
    session.info.setdefault("outbox", []).extend(waiting_for(session, run.hosts))


def sweep(session: Session) -> None:
    """End the runs that renew their leases no more, or have lost all of them."""
    over = sa.select(TerminalRun).where(~_alive(session, TerminalRun.id)).with_for_update()
    for run in session.scalars(over).all():
        # Again, now that nobody can renew it.
        if session.scalar(sa.select(_alive(session, run.id))):
            continue
        end(session, run)
        record(
            session,
            actor="sweeper",
            action="expire",
            kind="lease",
            resource_id=run.id,
            before={"owner": run.owner, "hosts": run.hosts},
            after=None,
            result=EXPIRED,
            duration_ms=round((read_clock(session) - run.created_at).total_seconds() * 1000),
            job_ids=[],
        )


def _alive(session: Session, holder: Any) -> sa.Exists:
    return sa.exists().where(Lease.holder == holder, Lease.expires_at > clock(session))


def _nodes(session: Session, hosts: list[str]) -> set[str]:
    node = registry["node"].model
    found: set[str] = set()
    for part in chunks(hosts):
        found.update(session.scalars(sa.select(node.name).where(node.name.in_(part), node.delete_requested.is_(False))))
    return found


def holding() -> sa.Select[Any]:
    """Return the columns of what is held and by whom, one row per host; the caller says which rows."""
    shard = registry["shard"].model
    return (
        sa.select(
            Lease.host,
            Lease.token,
            Lease.expires_at,
            Lease.holder,
            Job.id.label("job_id"),
            Job.playbook,
            shard.name.label("shard"),
            TerminalRun.owner,
            TerminalRun.reason,
            TerminalRun.key_name,
            sa.func.coalesce(TerminalRun.created_at, Job.started_at).label("since"),
        )
        .outerjoin(Job, Job.id == Lease.holder)
        .outerjoin(shard, shard.id == Job.shard_id)
        .outerjoin(TerminalRun, TerminalRun.id == Lease.holder)
        .where(Lease.holder.is_not(None))
    )


def name_of(row: Any) -> str:
    """Return the name of a holder, for people; ``row`` is one of ``holding``."""
    if row["owner"] is not None:
        return f"{row['owner']} ({row['reason']}, key {row['key_name']}) since {_moment(row['since'])}"
    if row["job_id"] is not None:
        what = f"of shard {row['shard']}" if row["shard"] else f"of {row['playbook']}"
        return f"job {row['job_id']} {what} since {_moment(row['since'])}"
    return f"run {row['holder']}"


def _moment(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC") if moment else "just now"


def _holders(session: Session, hosts: list[str], but: uuid.UUID) -> dict[str, str]:
    """Return host → who holds it; ``but`` is the holder that asks."""
    found = {}
    for part in chunks(hosts):
        chosen = holding().where(Lease.host.in_(part), Lease.holder != but)
        for row in session.execute(chosen).mappings():
            found[row["host"]] = f"is held by {name_of(row)}"
    return found


def _refused(status: int, message: str, hosts: dict[str, str]) -> ApiError:
    details = {"json": {"hosts": {host: [reason] for host, reason in sorted(hosts.items())}}}
    return ApiError(status, message, details=details)
