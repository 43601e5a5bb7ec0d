"""Leases: one run per host at a time, with a fencing token that only grows.

All times are the database's. A lease that was not renewed in time is lost, and its run must stop.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.jobs.models import Lease
from api.jobs.sql import clock, insert, read_clock


def acquire(session: Session, hosts: Iterable[str], holder: uuid.UUID, seconds: int) -> dict[str, int] | None:
    """Take the leases of all hosts; return {host: token}, or None if somebody holds one (then roll back)."""
    names = sorted(set(hosts))
    if not names:
        return {}
    # Never below the time in seconds: hosts remember the highest token they saw, and must not refuse a platform whose
    # database was restored from a backup or made anew.
    least = int(read_clock(session).timestamp())
    statement = insert(session, Lease).values(
        # Sorted, so that two runs that want the same hosts cannot wait for each other.
        [{"host": name, "holder": holder, "token": least, "expires_at": clock(session, seconds)} for name in names]
    )
    statement = statement.on_conflict_do_update(
        index_elements=["host"],
        set_={
            "holder": statement.excluded.holder,
            "token": sa.case((Lease.token >= least, Lease.token + 1), else_=least),
            "expires_at": statement.excluded.expires_at,
        },
        where=sa.or_(Lease.holder.is_(None), Lease.expires_at < clock(session)),
    ).returning(Lease.host, Lease.token)
    tokens = {row.host: row.token for row in session.execute(statement)}
    return tokens if len(tokens) == len(names) else None


def renew(session: Session, holder: uuid.UUID, tokens: dict[str, int], seconds: int) -> bool:
    """Prolong the leases; False if one of them is no longer ours, and the run must stop now."""
    if not tokens:
        return True
    done = session.execute(
        sa.update(Lease)
        .where(_mine(holder, tokens), Lease.expires_at > clock(session))
        .values(expires_at=clock(session, seconds))
        .execution_options(synchronize_session=False)
    )
    return int(done.rowcount) == len(tokens)  # type: ignore[attr-defined]


def release(session: Session, holder: uuid.UUID, tokens: dict[str, int]) -> None:
    """Give the leases back; the tokens stay, for the next holder to exceed."""
    if tokens:
        session.execute(
            sa.update(Lease)
            .where(_mine(holder, tokens))
            .values(holder=None)
            .execution_options(synchronize_session=False)
        )


def _mine(holder: uuid.UUID, tokens: dict[str, int]) -> sa.ColumnElement[bool]:
    return sa.and_(Lease.holder == holder, sa.tuple_(Lease.host, Lease.token).in_(sorted(tokens.items())))
