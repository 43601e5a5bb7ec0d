"""Taking a launch: one transaction, all or nothing, with the leases of every host that it touches."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.chain import anchor
from api.core.kind import registry
from api.jobs import leases, tell
from api.jobs.claim import Busy
from api.jobs.models import READ, Job, Lease
from api.jobs.sql import chunks, clock
from api.launch.models import Launch

#: Leases that are no hosts: of a turn, so that its launches do not run side by side, and of a job that touches no host,
#: so that the sweeper sees it live.
TURN, ALONE = "turn:", "job:"


@dataclass(frozen=True)
class Taken:
    """A launch that is ours."""

    job_id: uuid.UUID
    #: host → fencing token
    tokens: dict[str, int] = field(repr=False)
    audit_head: str = ""


def claim(session: Session, row: Launch, hosts: Iterable[str], worker: str, lease_seconds: int) -> Taken | None:
    """Make a queued launch ours, with the leases of its hosts and of its turn.

    Returns None if it is not queued (any longer). Raises Busy; the caller rolls back and the job stays queued.
    """
    head = anchor(session)
    done = session.execute(
        sa.update(Job)
        .where(Job.id == row.job_id, Job.state == "queued")
        .values(state="running", worker=worker, started_at=clock(session), audit_head=head)
        .returning(Job.created_at, Job.purpose)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if done is None:
        return None
    wanted = set(hosts)
    if row.turn_id is not None:
        if _is_later(session, row, done.created_at):
            raise Busy
        wanted.add(f"{TURN}{row.turn_id}")
    tokens = leases.acquire(session, wanted or {f"{ALONE}{row.job_id}"}, row.job_id, lease_seconds)
    if tokens is None:
        raise Busy
    if done.purpose != READ:
        tell.job(session, "job_started", row.job_id)
    return Taken(row.job_id, tokens, head)


def nodes_behind(session: Session, hosts: dict[str, Any]) -> dict[str, str]:
    """Return host → the platform's node that it stands for, by ``ansible_host`` or by name where there is none.

    ``hosts`` are those of a document. Whoever calls a node by another name must not run beside its jobs, and comes with
    its token.
    """
    node = registry["node"].model
    addresses = {name: str(host.get("vars", {}).get("ansible_host", name)) for name, host in hosts.items()}
    known: dict[str, str] = {}
    for part in chunks(sorted(set(addresses.values()))):
        these = sa.or_(node.address.in_(part), node.name.in_(part))
        for name, address in session.execute(sa.select(node.name, node.address).where(these)):
            known |= {name: name, address: name}
    return {name: known[address] for name, address in addresses.items() if address in known}


def forget_alone(session: Session) -> None:
    """Delete the leases of launches without hosts that have ended; others are kept, for their tokens."""
    session.execute(sa.delete(Lease).where(Lease.host.startswith(ALONE, autoescape=True), Lease.holder.is_(None)))


def _is_later(session: Session, row: Launch, created_at: object) -> bool:
    """Tell whether an older launch of the turn waits."""
    mine = sa.tuple_(sa.literal(created_at, Job.created_at.type), sa.literal(row.job_id, Job.id.type))
    older = (
        sa.select(Job.id)
        .join(Launch, Launch.job_id == Job.id)
        .where(Launch.turn_id == row.turn_id, Job.state == "queued", sa.tuple_(Job.created_at, Job.id) < mine)
    )
    return session.scalar(older.limit(1)) is not None
