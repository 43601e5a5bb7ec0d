"""What the routes of workflows take and answer."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from api.core.fields import Text, Uuid
from api.core.paging import Order, PageQuery
from api.workflow.advance import Steps
from api.workflow.graph import BAD, LIVE, RUNNING, SKIPPED, SUCCESSFUL
from api.workflow.models import WorkflowRun, WorkflowStep
from api.workflow.nodes import OWN, TYPES
from api.workflow.runs import RESUMABLE

RUN = WorkflowRun.__table__
ORDER = Order("created_at", [RUN.c.created_at, RUN.c.id], descending=True)
STATES = (RUNNING, SUCCESSFUL, *RESUMABLE)
#: What a list shows.
SHOWN = [column for column in RUN.c if column.key not in ("nodes", "secret_answers")]


class RunSchema(ma.Schema):
    """A run of a workflow."""

    id = ma.fields.UUID(required=True)
    workflow_id = ma.fields.UUID(required=True, metadata={"x-refers-to": "workflows"})
    workflow = ma.fields.String(required=True, metadata={"description": "its name at that time"})
    state = ma.fields.String(required=True, validate=ma.validate.OneOf(STATES))
    check = ma.fields.Boolean(required=True, metadata={"description": "all of it in check mode"})
    variables = ma.fields.Dict(required=True)
    requested_by = ma.fields.String(required=True)
    schedule_id = ma.fields.UUID(required=True, allow_none=True, metadata={"x-refers-to": "schedules"})
    resumed = ma.fields.Integer(required=True, metadata={"description": "how often"})
    created_at = ma.fields.AwareDateTime(required=True)
    ended_at = ma.fields.AwareDateTime(required=True, allow_none=True)
    cancel_requested_at = ma.fields.AwareDateTime(required=True, allow_none=True)
    canceled_by = ma.fields.String(required=True)


class StepSchema(ma.Schema):
    """A node, and what became of it."""

    name = ma.fields.String(required=True)
    type = ma.fields.String(required=True, validate=ma.validate.OneOf(TYPES))
    state = ma.fields.String(required=True, validate=ma.validate.OneOf([*LIVE, SUCCESSFUL, SKIPPED, *BAD]))
    message = ma.fields.String(required=True, metadata={"description": "why it failed"})
    converge = ma.fields.String(required=True)
    success = ma.fields.List(ma.fields.String(), required=True, metadata={"description": "the nodes that come next"})
    failure = ma.fields.List(ma.fields.String(), required=True)
    always = ma.fields.List(ma.fields.String(), required=True)
    template_id = ma.fields.UUID(allow_none=True, required=True, metadata={"x-refers-to": "templates"})
    parameters = ma.fields.Dict(required=True, metadata={"description": "what the launch says"})
    job_id = ma.fields.UUID(allow_none=True, required=True, metadata={"x-refers-to": "jobs"})
    data = ma.fields.Dict(required=True, metadata={"description": "what its playbook told with set_stats"})
    question = ma.fields.String(required=True, metadata={"description": "of an approval"})
    timeout = ma.fields.Integer(required=True, metadata={"description": "seconds of an approval; 0: for ever"})
    deadline = ma.fields.AwareDateTime(required=True, allow_none=True)
    decided_by = ma.fields.String(required=True)
    comment = ma.fields.String(required=True)
    started_at = ma.fields.AwareDateTime(required=True, allow_none=True)
    ended_at = ma.fields.AwareDateTime(required=True, allow_none=True)


class RunDetailSchema(RunSchema):
    """A run with its steps."""

    steps = ma.fields.List(ma.fields.Nested(StepSchema), required=True)


class RunQuery(PageQuery):
    """Filters of the list of runs; the newest come first."""

    workflow_id = Uuid()
    schedule_id = Uuid()
    state = Text(validate=ma.validate.OneOf(STATES))


def detail(run: WorkflowRun, steps: Steps) -> dict[str, Any]:
    """Return a run with its steps as it is shown."""
    nodes = {node["name"]: {**OWN["approval"], **OWN["launch"], **node} for node in run.nodes}
    told = [column.key for column in WorkflowStep.__table__.c if column.key != "run_id"]
    return {
        **{column.key: getattr(run, column.key) for column in SHOWN},
        "steps": [{**nodes[name], **{key: getattr(step, key) for key in told}} for name, step in steps.items()],
    }
