"""Routes of workflows beyond those of their kind: launch, runs, and what people do to a run. All are the platform's."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import marshmallow as ma
import sqlalchemy as sa
from flask import Response
from sqlalchemy.orm import Session

from api.auth.guard import actor, require
from api.core import service
from api.core.errors import not_found
from api.core.kind import registry
from api.core.mutation import Outcome, mutate
from api.core.reads import listed
from api.core.routes import IDEMPOTENCY, errors, page_schema, result_schema
from api.core.state import reading
from api.core.wire import Blueprint, answer, refuse_extras
from api.jobs.models import Job
from api.launch.body import DecisionBody, WorkflowLaunchBody
from api.workflow import runs
from api.workflow.advance import Steps, states, steps_of
from api.workflow.graph import LIVE
from api.workflow.models import WorkflowRun
from api.workflow.schemas import (
    ORDER,
    RUN,
    SHOWN,
    RunDetailSchema,
    RunQuery,
    RunSchema,
    detail,
)

workflows = Blueprint("workflow-launching", __name__, url_prefix="/workflows", description="Launch workflows.")
blp = Blueprint("workflow-runs", __name__, url_prefix="/workflow-runs", description="Runs of workflows.")

RESULT = result_schema("WorkflowRun", RunDetailSchema)


def _outcome(run: WorkflowRun, steps: Steps, jobs: Iterable[Job], before: dict[str, Any], **after: Any) -> Outcome:
    told = {"workflow": run.workflow, "state": run.state, **after}
    return Outcome("workflow_run", run.id, detail(run, steps), jobs=list(jobs), before=before, after=told)


@workflows.route("/<uuid:id>/launch", methods=["POST"], endpoint="launch")
@require("workflow:launch", every_brand=True)
@workflows.arguments(WorkflowLaunchBody)
@errors(workflows, 400, 404, 409, 412, 413, 415, 422)
@workflows.response(202, RESULT)
@workflows.doc(operationId="launch_workflow", summary="Launch a workflow", parameters=[IDEMPOTENCY])
def launch(body: dict[str, Any], id: uuid.UUID) -> Response:
    """Begin a run; `jobs` are those of its first steps."""

    def work(session: Session) -> Outcome:
        row = service.find(session, registry["workflow"], id, actor())
        run, steps, jobs = runs.start(session, row, actor().name, **body)
        return _outcome(run, steps, jobs, {}, **body)

    return mutate("launch", work)


@blp.route("", endpoint="list")
@require("workflow:read", every_brand=True)
@blp.arguments(RunQuery, location="query", unknown=ma.RAISE)
@errors(blp, 400, 422)
@blp.response(200, page_schema("WorkflowRun", RunSchema))
@blp.doc(operationId="list_workflow_runs", summary="List runs of workflows")
def list_(query: dict[str, Any]) -> Response:
    """Return a page of runs."""
    return listed(query, sa.select(*SHOWN), ORDER, RUN.c)


@blp.route("/<uuid:id>", endpoint="get")
@require("workflow:read", every_brand=True)
@errors(blp, 404)
@blp.response(200, RunDetailSchema)
@blp.doc(operationId="get_workflow_run", summary="Read one run of a workflow")
def get(id: uuid.UUID) -> Response:
    """Return a run with its steps."""
    refuse_extras()
    # The run first: one that has ended is shown with steps that have.
    with reading() as session:
        run = session.get(WorkflowRun, id)
        if run is None:
            raise not_found()
        return answer(detail(run, steps_of(session, run)))


@blp.route("/<uuid:id>/cancel", methods=["POST"], endpoint="cancel")
@require("workflow:cancel", every_brand=True)
@errors(blp, 404, 409, 422)
@blp.response(202, RESULT)
@blp.doc(operationId="cancel_workflow_run", summary="Cancel a run of a workflow", parameters=[IDEMPOTENCY])
def cancel(id: uuid.UUID) -> Response:
    """Begin no more steps and cancel the jobs that run; the run is `canceled` when the last of them has ended."""
    refuse_extras()

    def work(session: Session) -> Outcome:
        run = runs.find(session, id)
        before = {"state": run.state}
        return _outcome(run, runs.cancel(session, run, actor().name), [], before, cancel_requested=True)

    return mutate("cancel", work)


@blp.route("/<uuid:id>/resume", methods=["POST"], endpoint="resume")
@require("workflow:launch", every_brand=True)
@errors(blp, 404, 409, 422)
@blp.response(202, RESULT)
@blp.doc(operationId="resume_workflow_run", summary="Resume a run from what failed", parameters=[IDEMPOTENCY])
def resume(id: uuid.UUID) -> Response:
    """Do again what failed and what was not reached because of that; what went well stays, with its data."""
    refuse_extras()

    def work(session: Session) -> Outcome:
        run = runs.find(session, id)
        before = {"state": run.state, "steps": states(steps_of(session, run))}
        steps, jobs = runs.resume(session, run)
        return _outcome(
            run, steps, jobs, before, redone=[name for name, state in states(steps).items() if state in LIVE]
        )

    return mutate("resume", work)


def _decision(verb: str, approved: bool) -> None:
    @blp.route(f"/<uuid:id>/steps/<step>/{verb}", methods=["POST"], endpoint=verb)
    @require("workflow:approve", every_brand=True)
    @blp.arguments(DecisionBody)
    @errors(blp, 400, 404, 409, 413, 415, 422)
    @blp.response(202, RESULT)
    @blp.doc(operationId=f"{verb}_workflow_step", summary=f"{verb.title()} a step of a run", parameters=[IDEMPOTENCY])
    def decide(body: dict[str, Any], id: uuid.UUID, step: str) -> Response:
        def work(session: Session) -> Outcome:
            run = runs.find(session, id)
            steps, jobs = runs.decide(session, run, step, approved=approved, who=actor().name, **body)
            return _outcome(run, steps, jobs, {}, step=step, **body)

        return mutate(verb, work)


_decision("approve", approved=True)
_decision("deny", approved=False)
