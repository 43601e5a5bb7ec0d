"""Schedules fire. Any number of schedulers may look at the same time; each firing happens once.

The time of the next firing is in the database. Whoever moves it on, by a conditional update in the transaction that
also writes the firing and its launch, has fired it; the others find nothing left to do.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import marshmallow as ma
import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.audit import record
from api.core.errors import ApiError
from api.core.kind import registry
from api.jobs.models import Job
from api.jobs.sql import clock, insert, read_clock
from api.launch import rules
from api.launch.body import WorkflowLaunchBody, refers
from api.launch.kinds.schedule import Schedule, body_of, following
from api.launch.models import Firing, Launch
from api.launch.start import LIVE, launch
from api.plan.start import plan_template
from api.workflow.models import WorkflowRun
from api.workflow.runs import start

#: How late a firing may be before it counts as missed, and how many launches of a schedule may wait.
GRACE, MOST_WAITING = timedelta(seconds=60), 10
#: Schedules that one look takes on.
MOST = 200


def waiting(session: Session) -> list[uuid.UUID]:
    """Return the schedules that are due."""
    chosen = sa.select(Schedule.id).where(Schedule.enabled, Schedule.next_at <= clock(session))
    return list(session.scalars(chosen.order_by(Schedule.next_at).limit(MOST)))


def fire(session: Session, id_: uuid.UUID) -> Firing | None:
    """Fire a schedule, if it is still due, in the session's transaction; the job is published after the commit."""
    # Others pass on to the next schedule instead of waiting for this one.
    chosen = sa.select(Schedule).where(Schedule.id == id_).with_for_update(skip_locked=True, of=Schedule)
    row = session.scalar(chosen.execution_options(populate_existing=True))
    moment = read_clock(session)
    if row is None or not row.enabled or row.next_at is None or row.next_at > moment:
        return None
    latest, number = rules.due(row.rule, row.timezone, row.starts_at, row.next_at, moment)
    moved = session.execute(
        sa.update(Schedule)
        .where(Schedule.id == id_, Schedule.next_at == row.next_at)
        .values(next_at=following(row, moment), last_at=latest, updated_at=Schedule.updated_at)
        .execution_options(synchronize_session=False)
    )
    mine = session.scalar(
        insert(session, Firing)
        .values(schedule_id=id_, fires_at=latest, result="launched")
        .on_conflict_do_nothing()
        .returning(Firing)
    )
    if mine is None or moved.rowcount != 1:  # type: ignore[attr-defined]
        return None
    if number > 1:
        mine.message = f"{number} firings were due"
    late = moment - latest > GRACE
    if late and row.missed == "skip":
        mine.result, mine.message = "missed", f"nobody was there to fire, until {moment:%Y-%m-%d %H:%M:%S} UTC"
    elif reason := _in_the_way(session, row):
        mine.result, mine.message = "overlapped", reason
    else:
        _launch(session, row, mine)
    record(
        session,
        actor="scheduler",
        action="fire",
        kind="schedule",
        resource_id=id_,
        before=None,
        after={
            "fires_at": latest.isoformat(),
            "message": mine.message,
            "workflow_run_id": refers(mine.workflow_run_id),
        },
        result=mine.result,
        duration_ms=0,
        job_ids=[mine.job_id] if mine.job_id else [],
    )
    return mine


def _launch(session: Session, row: Schedule, firing: Firing) -> None:
    who = f"schedule {row.name}"
    try:
        with session.begin_nested():
            if row.workflow_id is not None:
                workflow = session.get_one(registry["workflow"].model, row.workflow_id)
                said = WorkflowLaunchBody().load(row.parameters)
                firing.workflow_run_id = start(session, workflow, who, schedule_id=row.id, **said)[0].id
                return
            template = session.get_one(registry["template"].model, row.template_id)
            turn = row.id if row.overlap == "queue" else None
            if template.approval == "none":
                job, _ = launch(session, template, body_of(row), who, schedule_id=row.id, turn_id=turn)
            else:
                _, job = plan_template(session, template, body_of(row), who, schedule_id=row.id, turn_id=turn)
                firing.result, firing.message = "planned", "a plan is made, which waits for its approval"
        firing.job_id = job.id
    except ApiError as error:
        firing.result, firing.message = "refused", f"{error.message} {_names(error.details)}".strip()
    except ma.ValidationError as error:
        firing.result, firing.message = "refused", f"The template changed: {_names(error.messages)}"


def _names(details: Any) -> str:
    """Return the fields that an error names."""
    fields = details.get("json", details) if isinstance(details, dict) else {}
    return ", ".join(sorted(fields)) if isinstance(fields, dict) else ""


def _in_the_way(session: Session, row: Schedule) -> str:
    """Return why a launch must not be made now; empty if it may."""
    live = (
        sa.select(sa.func.count(), sa.func.count().filter(Job.state == "queued"))
        .select_from(Launch)
        .join(Job, Job.id == Launch.job_id)
        .where(Launch.schedule_id == row.id, Job.state.in_(LIVE))
    )
    alive, queued = session.execute(live).one()
    if row.workflow_id is not None:
        runs = sa.select(WorkflowRun.id).where(WorkflowRun.schedule_id == row.id, WorkflowRun.state == "running")
        return "the run of before has not ended" if session.scalar(runs.limit(1)) else ""
    if row.overlap == "skip" and alive:
        return "the launch of before has not ended"
    return f"{queued} launches wait already" if queued >= MOST_WAITING else ""
