"""A plan is asked for, decided upon, and applied: what requests and schedules do."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.auth.keys import Actor
from api.core.errors import MESSAGES, ApiError, conflict, not_found
from api.jobs.claim import SITE
from api.jobs.models import Job
from api.jobs.sql import is_postgresql, read_clock
from api.launch.models import Launch
from api.launch.start import SAME, prepared, queue
from api.plan import inputs, life
from api.plan.models import Plan


def plan_shard(session: Session, shard: Any, who: str, key: uuid.UUID | None) -> tuple[Plan, Job]:
    """Queue the check of a full converge of a shard."""
    job = lone(session, shard.id, "check")
    plan = Plan(id=uuid.uuid4(), shard_id=shard.id, subject=shard.name, job_id=job.id, requested_by=who)
    plan.requested_key = key
    session.add(plan)
    session.flush()
    return plan, job


def plan_template(
    session: Session,
    template: Any,
    body: dict[str, Any],
    who: str,
    key: uuid.UUID | None = None,
    *,
    schedule_id: Any = None,
    turn_id: Any = None,
) -> tuple[Plan, Job]:
    """Queue the check of a launch of a template with this body; ApiError as for the launch."""
    if given := body.keys() & {"check", "diff"}:
        reason = ["a plan always checks, and shows differences"]
        raise ApiError(422, MESSAGES[422], details={"json": dict.fromkeys(sorted(given), reason)})
    job, _ = prepared(
        session,
        template,
        body,
        who,
        schedule_id=schedule_id,
        turn_id=turn_id,
        purpose="check",
        fixed={"check": True, "diff": True},
    )
    plan = Plan(
        id=uuid.uuid4(),
        template_id=template.id,
        subject=template.name,
        origin="request" if schedule_id is None else "schedule",
        schedule_id=schedule_id,
        others=template.approval == "other",
        job_id=job.id,
        requested_by=who,
        requested_key=key,
    )
    session.add(plan)
    session.flush()
    return plan, job


def lone(session: Session, shard_id: uuid.UUID, purpose: str) -> Job:
    """Queue a full job of a shard in which no wishes gather."""
    job = Job(id=uuid.uuid4(), shard_id=shard_id, playbook=SITE, full=True, purpose=purpose)
    session.add(job)
    session.flush()
    session.info.setdefault("outbox", []).append(job.id)
    return job


def locked(session: Session, id_: uuid.UUID) -> Plan:
    """Return a plan, locked against others; 404 if there is none."""
    chosen = sa.select(Plan).where(Plan.id == id_).execution_options(populate_existing=True)
    plan = session.scalar(chosen.with_for_update() if is_postgresql(session) else chosen)
    if plan is None:
        raise not_found()
    return plan


def decide(session: Session, plan: Plan, verdict: str, who: Actor, comment: str) -> None:
    """Approve or reject; 409 if it is not there to be decided upon, 403 for approving one's own where that is barred.

    What is approved, but not being applied, may still be rejected.
    """
    allowed = ("ready", "approved") if verdict == "rejected" else ("ready",)
    if plan.state not in allowed:
        raise conflict(f"The plan is {plan.state}; only one that is ready can be {verdict}.", "state")
    if verdict == "approved" and plan.others and plan.requested_key == who.id:
        raise ApiError(403, "Somebody else must approve this plan: you asked for it.")
    plan.state, plan.decided_by, plan.decided_key, plan.comment = verdict, who.name, who.id, comment
    plan.decided_at = read_clock(session)
    session.flush()


def apply(session: Session, plan: Plan, who: str, playbooks: Path) -> Job:
    """Queue the job that carries out an approved plan; 409 names what moved since it was made."""
    if plan.state != "approved":
        raise conflict(f"The plan is {plan.state}; only an approved one can be applied.", "state")
    try:
        moved = inputs.moved(plan, inputs.read_again(session, plan, playbooks))
    except LookupError as error:
        raise conflict(f"{error.args[0]} Make a new plan.", "job_id") from None
    if moved:
        message = f"{life.STALE.format(' and '.join(moved))}.".capitalize()
        raise ApiError(409, message, details={"json": {name: ["moved since the plan was made"] for name in moved}})
    job = _job(session, plan)
    plan.state, plan.apply_job_id, plan.applied_by = "applying", job.id, who
    session.flush()
    return job


def _job(session: Session, plan: Plan) -> Job:
    if plan.shard_id is not None:
        return lone(session, plan.shard_id, "apply")
    old = session.get_one(Launch, plan.job_id)
    fields = {name: getattr(old, name) for name in SAME} | {"check": False}
    # The one who asked, and in the plan the one who approved.
    return queue(session, Launch(**fields, requested_by=old.requested_by), old.playbook, "apply")[0]
