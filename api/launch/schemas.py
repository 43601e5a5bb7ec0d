"""What the routes of launches answer."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from api.core.fields import Text, Uuid
from api.core.paging import Order, PageQuery
from api.jobs.models import Job
from api.jobs.schemas import STATES
from api.launch.body import refers
from api.launch.models import Launch

LAUNCH, JOB = Launch.__table__, Job.__table__
ORDER = Order("created_at", [JOB.c.created_at, JOB.c.id], descending=True)
HIDDEN = ("secrets", "secret_names", "job_id", "shards")
SHOWN = [JOB.c.id, JOB.c.state, JOB.c.created_at, *(column for column in LAUNCH.c if column.key != "secrets")]
REDACTED = "***"


class LaunchSchema(ma.Schema):
    """A launch; its id is that of its job, which tells the rest."""

    id = ma.fields.UUID(required=True)
    state = ma.fields.String(required=True, validate=ma.validate.OneOf(STATES))
    created_at = ma.fields.AwareDateTime(required=True)
    template_id = ma.fields.UUID(required=True, allow_none=True, metadata={"x-refers-to": "templates"})
    template = ma.fields.String(required=True, metadata={"description": "the template's name; empty: an ad-hoc run"})
    schedule_id = ma.fields.UUID(required=True, allow_none=True)
    turn_id = ma.fields.UUID(required=True, allow_none=True, metadata={"description": "runs after others of this turn"})
    operation = ma.fields.String(
        required=True, metadata={"description": "what the platform runs for its own ends; empty: somebody's launch"}
    )
    relaunch_of = ma.fields.UUID(required=True, allow_none=True)
    workflow_run_id = ma.fields.UUID(required=True, allow_none=True, metadata={"x-refers-to": "workflow-runs"})
    requested_by = ma.fields.String(required=True)
    module = ma.fields.String(required=True)
    arguments = ma.fields.Dict(required=True)
    playbook = ma.fields.String(required=True)
    project_id = ma.fields.UUID(required=True, allow_none=True, metadata={"x-refers-to": "projects"})
    revision = ma.fields.String(required=True, metadata={"description": "what ran: a commit, or sha256 of the files"})
    inventory_id = ma.fields.UUID(required=True, allow_none=True, metadata={"x-refers-to": "inventories"})
    limit = ma.fields.String(required=True)
    tags = ma.fields.List(ma.fields.String(), required=True)
    skip_tags = ma.fields.List(ma.fields.String(), required=True)
    become = ma.fields.Boolean(required=True, metadata={"description": "of an ad-hoc run"})
    check = ma.fields.Boolean(required=True)
    diff = ma.fields.Boolean(required=True)
    verbosity = ma.fields.Integer(required=True)
    forks = ma.fields.Integer(required=True)
    timeout = ma.fields.Integer(required=True)
    queue = ma.fields.String(required=True, metadata={"description": "of the workers that run it"})
    credentials = ma.fields.List(ma.fields.String(), required=True)
    variables = ma.fields.Dict(required=True, metadata={"description": "secret ones as ***"})
    data = ma.fields.Dict(
        required=True, allow_none=True, metadata={"description": "what it told with set_stats; null: too much"}
    )


class LaunchQuery(PageQuery):
    """Filters of the list of launches; the newest come first."""

    template_id = Uuid()
    schedule_id = Uuid()
    workflow_run_id = Uuid()
    operation = Text()


def dump(row: Any) -> dict[str, Any]:
    """Return a launch as it is shown; ``row`` maps the columns of ``SHOWN``."""
    found = {name: value for name, value in row.items() if name not in HIDDEN}
    found["variables"] = {**row["variables"], **dict.fromkeys(row["secret_names"], REDACTED)}
    return found


def shown(job: Job, row: Launch) -> dict[str, Any]:
    """Return a new launch as it is shown."""
    values = {column.key: getattr(row, column.key) for column in LAUNCH.c}
    return dump({"id": job.id, "state": job.state, "created_at": job.created_at, **values})


def audited(row: Launch) -> dict[str, Any]:
    """Return what the audit keeps of a launch."""
    names = ("playbook", "module", "limit", "tags", "skip_tags", "check", "credentials")
    found = {name: getattr(row, name) for name in names if getattr(row, name)}
    found |= {name: refers(getattr(row, name)) for name in ("project_id", "inventory_id")}
    return {**found, "variables": {**row.variables, **dict.fromkeys(row.secret_names, REDACTED)}}
