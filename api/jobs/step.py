"""Whether a host is in step: what it carries of the audit is what the platform had put there.

A host notes the job that changed it last, and where the audit ended when that job was taken. With every report it says
what it carried before the run and what it carries now. If the former is not what was expected, then the host was
changed from elsewhere, taken from a backup, or belongs to another platform.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.audit import record
from api.core.kind import registry
from api.jobs.models import Job
from api.jobs.sql import clock

_HEAD = re.compile(r"[0-9]{1,18}:[0-9a-f]{64}")


@dataclass(frozen=True)
class Carried:
    """A job and an audit head (``seq:hash``) as a host carries them; None and empty for none."""

    job_id: uuid.UUID | None = None
    audit_head: str = ""


@dataclass(frozen=True)
class Said:
    """What a host said of itself: what it carried when the run came, and what it carries now."""

    before: Carried
    now: Carried


def read(node: Any) -> Said | None:
    """Return what ``{before, now}`` of a report says; None if the host said nothing that can be understood.

    What is not well-formed counts as nothing carried: it is not what the platform wrote.
    """
    if not isinstance(node, dict):
        return None
    return Said(_carried(node.get("before")), _carried(node.get("now")))


def _carried(value: Any) -> Carried:
    if not isinstance(value, dict):
        return Carried()
    job, head = value.get("job"), value.get("audit_head")
    try:
        job_id = uuid.UUID(job) if isinstance(job, str) and len(job) == 36 else None
    except ValueError:
        job_id = None
    return Carried(job_id, head if isinstance(head, str) and _HEAD.fullmatch(head) else "")


def note(session: Session, run: Any, node_id: uuid.UUID, said: Said) -> None:
    """Keep what a host said next to what was expected of it; that it is out of step is recorded."""
    model = registry["node"].model
    node = model.__table__
    row = session.execute(sa.select(node).where(node.c.id == node_id)).mappings().one_or_none()
    if row is None:
        return
    expected = Carried(row["last_job_id"], row["last_audit_head"])
    in_step: bool | None = said.before == expected or _was_ours(session, run.shard_id, said.before, expected)
    if not in_step and expected == Carried():
        # A host that was somebody else's before; there is nothing yet that it should carry.
        in_step = None
    values = {
        "host_job_id": said.now.job_id,
        "host_audit_head": said.now.audit_head,
        "host_seen_at": clock(session),
        "in_step": in_step,
    }
    if said.now.job_id == run.job_id:
        head = session.scalar(sa.select(Job.audit_head).where(Job.id == run.job_id)) or ""
        values |= {"last_job_id": run.job_id, "last_audit_head": head}
    # Not through the mapping: a report is no wish and must not disturb a client's revision.
    session.execute(sa.update(node).where(node.c.id == node_id).values(**values, updated_at=node.c.updated_at))
    told_before = row["in_step"] is False and said.before == Carried(row["host_job_id"], row["host_audit_head"])
    if in_step is False and not told_before:
        record(
            session, actor="worker", action="out_of_step", kind="node", resource_id=node_id, before=_shown(expected),
            after=_shown(said.before), result="failed", duration_ms=0, job_ids=[run.job_id],
        )  # fmt: skip


def _was_ours(session: Session, shard_id: uuid.UUID, before: Carried, expected: Carried) -> bool:
    """Tell whether a host carries a later job of its shard, whose report never came, or a launch, which has none."""
    ours = sa.or_(Job.shard_id == shard_id, Job.shard_id.is_(None))
    theirs = sa.select(Job.started_at).where(Job.id == before.job_id, ours, Job.audit_head == before.audit_head)
    started = session.scalar(theirs) if before.job_id else None
    if started is None:
        return False
    since = session.scalar(sa.select(Job.started_at).where(Job.id == expected.job_id))
    return since is None or started >= since


def _shown(carried: Carried) -> dict[str, Any]:
    return {"job_id": str(carried.job_id) if carried.job_id else None, "audit_head": carried.audit_head}
