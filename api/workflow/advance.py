"""A run goes on. What happens next is derived from what is in the database, under the lock of the run.

Nothing has to be told: whoever looks finds which jobs have ended and what that means, so an ended launch leads on once,
however many look, and also if the worker that ran it died before it could.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import marshmallow as ma
import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.announce import announce
from api.core.audit import record
from api.core.errors import ApiError
from api.jobs.models import Job
from api.jobs.sql import clock, is_postgresql, read_clock
from api.jobs.steer import OVER
from api.launch.data import MOST_TOLD
from api.launch.models import Launch
from api.launch.start import launch
from api.workflow.graph import CANCELED, LIVE, PENDING, RUNNING, SKIPPED, SUCCESSFUL, Node, ancestors, coming, unhandled
from api.workflow.kind import said
from api.workflow.models import WorkflowRun, WorkflowStep
from api.workflow.parameters import body_of, templates_of

Steps = dict[str, WorkflowStep]

#: Runs that one look takes on.
MOST = 200
GONE, TOO_MUCH = "its job is gone", f"set_stats told more than {MOST_TOLD} bytes, or no plain values"


def due(session: Session, job_id: uuid.UUID | None = None) -> list[uuid.UUID]:
    """Return the runs that can go on: a job of theirs has ended, or an approval's time is up; or only that of a job."""
    ended = sa.and_(WorkflowStep.state == RUNNING, sa.or_(Job.id.is_(None), Job.state.in_(OVER)))
    late = sa.and_(WorkflowStep.state == PENDING, WorkflowStep.deadline <= clock(session))
    chosen = (
        sa.select(WorkflowStep.run_id)
        .outerjoin(Job, Job.id == WorkflowStep.job_id)
        .where(sa.or_(ended, late) if job_id is None else sa.and_(ended, WorkflowStep.job_id == job_id))
    )
    return list(session.scalars(chosen.distinct().limit(MOST)))


def locked(session: Session, run_id: uuid.UUID) -> WorkflowRun | None:
    """Return a run as it is now, locked; None if it is gone."""
    chosen = sa.select(WorkflowRun).where(WorkflowRun.id == run_id).execution_options(populate_existing=True)
    return session.scalar(chosen.with_for_update() if is_postgresql(session) else chosen)


def steps_of(session: Session, run: WorkflowRun) -> Steps:
    """Return the steps of a run as they are now, in the order of its nodes."""
    chosen = sa.select(WorkflowStep).where(WorkflowStep.run_id == run.id)
    found = {step.name: step for step in session.scalars(chosen.execution_options(populate_existing=True))}
    return {node["name"]: found[node["name"]] for node in run.nodes}


def advance(session: Session, run_id: uuid.UUID) -> bool:
    """Take a run on, in the session's transaction; jobs are published after the commit. False if it is over."""
    run = locked(session, run_id)
    if run is None or run.state != RUNNING:
        return False
    steps = steps_of(session, run)
    settle(session, run, steps)
    go(session, run, steps)
    return True


def settle(session: Session, run: WorkflowRun, steps: Steps) -> None:
    """End the steps whose job has ended, and the approvals that nobody decided in time."""
    moment = read_clock(session)
    for step in steps.values():
        if step.state == RUNNING:
            chosen = sa.select(Job.state, Job.reason, Launch.data).join(Launch, Launch.job_id == Job.id)
            job = session.execute(chosen.where(Job.id == step.job_id)).one_or_none()
            if job is None:
                end(session, step, "failed", GONE)
            elif job.state in OVER:
                step.data = job.data or {}
                state, message = (job.state if job.state in (SUCCESSFUL, CANCELED) else "failed"), job.reason
                if state == SUCCESSFUL and job.data is None:
                    # What comes next would go without what it needs.
                    state, message = "failed", TOO_MUCH
                end(session, step, state, message)
        elif step.state == PENDING and step.deadline is not None and step.deadline <= moment:
            end(session, step, "timed_out", "nobody decided in time")
            _note(session, run, "timeout", "timed_out", step)


def go(session: Session, run: WorkflowRun, steps: Steps) -> list[Job]:
    """Begin what can begin, skip what cannot be reached any longer, end the run behind its last step; return jobs."""
    jobs: list[Job] = []
    nodes = {node["name"]: node for node in run.nodes}
    if run.cancel_requested_at is not None:
        for step in steps.values():
            if step.state in LIVE and step.state != RUNNING:
                end(session, step, CANCELED)
    while run.cancel_requested_at is None:
        begin, skip = coming(run.nodes, states(steps))
        if not begin and not skip:
            break
        for name in skip:
            end(session, steps[name], SKIPPED)
        # Each launch locks its template: everybody in the same order.
        for node in sorted((nodes[name] for name in begin), key=lambda node: str(node.get("template_id"))):
            jobs += _begin(session, run, steps, node)
    if not any(step.state in LIVE for step in steps.values()):
        bad = unhandled(run.nodes, states(steps))
        run.state = CANCELED if run.cancel_requested_at else "failed" if bad else SUCCESSFUL
        run.ended_at = read_clock(session)
        _note(session, run, "run", run.state, None)
    session.flush()
    return jobs


def states(steps: Steps) -> dict[str, str]:
    """Return the state of each step."""
    return {name: step.state for name, step in steps.items()}


def end(session: Session, step: WorkflowStep, state: str, message: str = "") -> None:
    """End a step."""
    step.state, step.message, step.ended_at = state, message, read_clock(session)


def _begin(session: Session, run: WorkflowRun, steps: Steps, node: Node) -> Sequence[Job]:
    step = steps[node["name"]]
    step.started_at = read_clock(session)
    if node["type"] == "launch":
        return _launch(session, run, steps, node)
    step.state = PENDING
    step.deadline = step.started_at + timedelta(seconds=node["timeout"]) if node["timeout"] else None
    facts: dict[str, Any] = {"workflow": run.workflow, "step": step.name, "question": node["question"]}
    facts["deadline"] = step.deadline.isoformat() if step.deadline else None
    announce(session, "approval_needed", "workflow_run", run.id, facts)
    return ()


def _launch(session: Session, run: WorkflowRun, steps: Steps, node: Node) -> Sequence[Job]:
    """Launch a node's template with what earlier steps told; a refusal is the step's failure."""
    step = steps[node["name"]]
    given: dict[str, Any] = {}
    for name in ancestors(run.nodes, node["name"]):
        given |= steps[name].data
    given |= run.variables
    try:
        with session.begin_nested():
            template = templates_of(session, [node], keep=True).get(node["template_id"])
            if template is None:
                raise ApiError(404, "The template is gone.")
            body = body_of(template, node, run.secret_answers, given)
            job, _ = launch(
                session, template, body, f"workflow {run.workflow}", workflow_run_id=run.id, check=run.check
            )
    except (ApiError, ma.ValidationError) as error:
        end(session, step, "failed", _why(error))
        _note(session, run, "launch", "refused", step)
        return ()
    step.state, step.job_id = RUNNING, job.id
    _note(session, run, "launch", "launched", step)
    return [job]


def _why(error: ApiError | ma.ValidationError) -> str:
    """Return in one line why a launch was refused."""
    if isinstance(error, ma.ValidationError):
        return f"The template changed: {said(error.messages_dict)}"
    fields = error.details.get("json") if isinstance(error.details, dict) else None
    return f"{error.message} {said(fields)}" if fields else error.message


def _note(session: Session, run: WorkflowRun, action: str, result: str, step: WorkflowStep | None) -> None:
    """Let the audit tell what the platform did by itself."""
    after: dict[str, Any] = {"workflow": run.workflow, "check": run.check}
    if step is not None:
        after |= {"step": step.name, "message": step.message}
    began = run.created_at if step is None else step.started_at
    record(
        session,
        actor="workflow",
        action=action,
        kind="workflow_run",
        resource_id=run.id,
        before=None,
        after=after,
        result=result,
        duration_ms=round((read_clock(session) - began).total_seconds() * 1000) if began else 0,
        job_ids=[step.job_id] if step is not None and step.job_id else [],
    )
