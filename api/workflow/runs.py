"""What people do to runs: launch, cancel, resume, decide; in the caller's transaction, under the lock of the run."""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import Any

from sqlalchemy.orm import Session

from api.core.errors import MESSAGES, ApiError, conflict, invalid, not_found
from api.jobs import steer
from api.jobs.models import Job
from api.jobs.sql import read_clock
from api.workflow.advance import Steps, end, go, locked, settle, states, steps_of
from api.workflow.graph import CANCELED, PENDING, RUNNING, SUCCESSFUL, WAITING, kept, parents
from api.workflow.models import WorkflowRun, WorkflowStep
from api.workflow.parameters import refusal, taken, templates_of

#: Ends behind which a run can be taken up again.
RESUMABLE = ("failed", CANCELED)


def start(
    session: Session, workflow: Any, who: str, *, check: bool, variables: dict[str, Any], schedule_id: Any = None
) -> tuple[WorkflowRun, Steps, list[Job]]:
    """Begin a run; ApiError 422 names what no step takes, and what could not be launched."""
    acceptable(session, workflow, variables)
    run = WorkflowRun(
        id=uuid.uuid4(),
        workflow_id=workflow.id,
        workflow=workflow.name,
        nodes=workflow.nodes,
        secret_answers=workflow.secret_answers,
        variables=variables,
        check=check,
        requested_by=who,
        schedule_id=schedule_id,
        created_at=read_clock(session),
    )
    session.add(run)
    session.flush()
    session.add_all(WorkflowStep(run_id=run.id, name=node["name"]) for node in run.nodes)
    session.flush()
    steps = steps_of(session, run)
    return run, steps, go(session, run, steps)


def acceptable(session: Session, workflow: Any, variables: dict[str, Any]) -> None:
    """Refuse (ApiError) variables that no step takes, and what is known to be refused later."""
    templates, above = templates_of(session, workflow.nodes), parents(workflow.nodes)
    refused, takers = {}, set[str]()
    for node in workflow.nodes:
        template = templates.get(node.get("template_id", ""))
        if template is None:
            continue
        hidden = {question["variable"] for question in template.survey if question["type"] == "password"}
        if secret := hidden & variables.keys():
            reason = f"{min(secret)} is a secret of node {node['name']}; it belongs into secret_answers of the workflow"
            raise invalid("variables", reason)
        takers |= {name for part in taken(template, variables) for name in part}
        # What comes first is told nothing by others.
        more_comes = bool(above[node["name"]])
        if why := refusal(template, node, workflow.secret_answers, variables, more_comes=more_comes):
            refused[node["name"]] = why
    if left := variables.keys() - takers:
        raise invalid("variables", *(f"{name}: no step asks for it" for name in sorted(left)))
    if refused:
        raise ApiError(422, MESSAGES[422], details={"json": {"nodes": refused}})


def find(session: Session, run_id: uuid.UUID) -> WorkflowRun:
    """Return a run, locked; 404 if there is none."""
    run = locked(session, run_id)
    if run is None:
        raise not_found()
    return run


def cancel(session: Session, run: WorkflowRun, who: str) -> Steps:
    """Begin nothing more and cancel what runs; the run is over when its last job is. 409 if it is over."""
    if run.state != RUNNING:
        raise conflict(f"The run is {run.state} already.", "state")
    if run.cancel_requested_at is None:
        run.cancel_requested_at, run.canceled_by = read_clock(session), who
    steps = steps_of(session, run)
    for step in steps.values():
        job = session.get(Job, step.job_id) if step.state == RUNNING else None
        if job is not None:
            # It may have ended by itself meanwhile.
            with suppress(ApiError):
                steer.cancel(session, job, who)
    settle(session, run, steps)
    go(session, run, steps)
    return steps


def resume(session: Session, run: WorkflowRun) -> tuple[Steps, list[Job]]:
    """Do again what failed and what was not reached because of that; the rest stays, with its data.

    409 if nothing failed. A failure that was handled stays as it is, unless its reasons are done again.
    """
    if run.state not in RESUMABLE:
        raise conflict(f"The run is {run.state}; only one that failed or was canceled can be resumed.", "state")
    steps = steps_of(session, run)
    stay = kept(run.nodes, states(steps))
    for name, step in steps.items():
        if name not in stay:
            step.state, step.message, step.job_id, step.data = WAITING, "", None, {}
            step.decided_by, step.comment, step.deadline = "", "", None
            step.started_at = step.ended_at = None
    run.state, run.ended_at, run.cancel_requested_at, run.canceled_by = RUNNING, None, None, ""
    run.resumed += 1
    return steps, go(session, run, steps)


def decide(
    session: Session, run: WorkflowRun, name: str, *, approved: bool, who: str, comment: str
) -> tuple[Steps, list[Job]]:
    """Approve or deny; 404 if there is no such step, 409 if it does not wait for a decision."""
    steps = steps_of(session, run)
    if name not in steps:
        raise not_found()
    settle(session, run, steps)
    step = steps[name]
    if step.state != PENDING:
        raise conflict(f"The step {name} is {step.state}; it does not wait for a decision.", "state")
    step.decided_by, step.comment = who, comment
    end(session, step, SUCCESSFUL if approved else "denied")
    return steps, go(session, run, steps)
