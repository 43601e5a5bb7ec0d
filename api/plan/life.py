"""The life of a plan: what becomes of it when. Every step is a conditional update within the caller's transaction."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.announce import announce
from api.jobs.sql import clock
from api.plan import naming
from api.plan.models import PARTS, Plan
from api.plan.prediction import Prediction, digest

#: What refuses a plan, for people.
STALE = "{} moved since the plan was made; make a new plan"
LONGEST_REASON = 1000


def job_over(session: Session, job_id: uuid.UUID, purpose: str, reason: str) -> None:
    """A job of a plan has ended. What it did for the plan is written before; this is about what it did not do."""
    if purpose == "check":
        _move(session, Plan.job_id == job_id, "planning", state="failed", message=reason[:LONGEST_REASON])
    elif purpose == "apply":
        # Its run never began, so the approval stands: the next try checks everything again.
        _move(session, Plan.apply_job_id == job_id, "applying", state="approved", apply_job_id=None)


def ready(session: Session, plan: Plan, parts: dict[str, str], found: Prediction, hosts: Iterable[str]) -> None:
    """A plan has its prediction, and can be decided upon; ``parts`` are those of PARTS that are no prediction."""
    naming.name(session, found.entries)
    parts = {**parts, "prediction": found.hash()}
    done = _move(
        session,
        Plan.id == plan.id,
        "planning",
        state="ready",
        ready_at=clock(session),
        hash=hash_of(parts),
        hosts=sorted(hosts),
        changes=found.bounded(),
        total=len(found.entries),
        cut=found.cut,
        **parts,
    )
    if not done:
        return
    supersede(session, plan)
    if found.entries:
        facts: dict[str, Any] = {"subject": plan.subject, "origin": plan.origin, "changes": len(found.entries)}
        facts |= {"requested_by": plan.requested_by, "hosts": sorted(hosts)[:100]}
        facts |= {name: str(getattr(plan, name)) for name in ("shard_id", "template_id") if getattr(plan, name)}
        announce(session, "approval_needed", "plan", plan.id, facts)


def hash_of(parts: dict[str, str]) -> str:
    """Return what an approval binds to."""
    return digest([parts[name] for name in PARTS])


def supersede(session: Session, plan: Plan) -> None:
    """Let the undecided plans go that the same schedule, or the same search for drift, made before."""
    if plan.origin == "request":
        return
    same = Plan.schedule_id == plan.schedule_id if plan.origin == "schedule" else Plan.shard_id == plan.shard_id
    older = sa.and_(Plan.origin == plan.origin, same, Plan.id != plan.id)
    _move(session, older, "ready", state="stale", message=f"there is a newer one: {plan.id}")


def began(session: Session, plan: Plan) -> bool:
    """The run of an approved plan begins; False if it is not to."""
    return _move(session, Plan.id == plan.id, "applying", state="applied", applied_at=clock(session))


def refused(session: Session, plan: Plan, parts: Iterable[str], said: str = "") -> str:
    """Something moved, so the plan is of no use any longer; return why, for the job."""
    moved = [name for name in PARTS if name in set(parts)]
    reason = STALE.format(" and ".join(moved)) + (f" ({said})" if said else "")
    _move(session, Plan.id == plan.id, "applying", state="stale", message=reason[:LONGEST_REASON], moved=moved)
    return f"plan_refused: {reason}"


def _move(session: Session, which: sa.ColumnElement[bool], before: str, **values: Any) -> bool:
    done = session.execute(
        sa.update(Plan).where(which, Plan.state == before).values(values).execution_options(synchronize_session=False)
    )
    return bool(done.rowcount)  # type: ignore[attr-defined]
