"""What the routes of plans and of drift take and answer."""

from __future__ import annotations

import marshmallow as ma

from api.core.fields import Text, Uuid
from api.core.paging import Order, PageQuery
from api.jobs.schemas import DifferenceSchema
from api.plan.models import ORIGINS, PARTS, STATES, Drift, Plan

PLAN, DRIFT = Plan.__table__, Drift.__table__
#: Inputs are shown as one hash: which of them moved is said by name.
HIDDEN = ("changes", "generations", "revision", "inventory", "prediction", "requested_key", "decided_key")
SHOWN = [column for column in PLAN.c if column.key not in HIDDEN]
PLANS = Order("created_at", [PLAN.c.created_at, PLAN.c.id], descending=True)
FOUND = Order("first_seen", [DRIFT.c.first_seen, DRIFT.c.id], descending=True)


class PlanSchema(ma.Schema):
    """What a run would change, and what became of that."""

    id = ma.fields.UUID(required=True)
    subject = ma.fields.String(required=True, metadata={"description": "name of the shard or the template"})
    shard_id = ma.fields.UUID(required=True, allow_none=True, metadata={"x-refers-to": "shards"})
    template_id = ma.fields.UUID(required=True, allow_none=True, metadata={"x-refers-to": "templates"})
    origin = ma.fields.String(required=True, validate=ma.validate.OneOf(ORIGINS))
    schedule_id = ma.fields.UUID(required=True, allow_none=True, metadata={"x-refers-to": "schedules"})
    state = ma.fields.String(required=True, validate=ma.validate.OneOf(STATES))
    message = ma.fields.String(required=True, metadata={"description": "why it failed, or is stale"})
    moved = ma.fields.List(
        ma.fields.String(validate=ma.validate.OneOf(PARTS)), required=True, metadata={"description": "why it is stale"}
    )
    others = ma.fields.Boolean(required=True, metadata={"description": "who asked for it must not approve it"})
    job_id = ma.fields.UUID(required=True, allow_none=True, metadata={"description": "the check"})
    apply_job_id = ma.fields.UUID(required=True, allow_none=True, metadata={"description": "the run"})
    hash = ma.fields.String(required=True, metadata={"description": "what an approval binds to"})
    hosts = ma.fields.List(ma.fields.String(), required=True)
    total = ma.fields.Integer(required=True, metadata={"description": "changes, also those that had no room"})
    cut = ma.fields.Boolean(required=True, metadata={"description": "not all of it is shown; the hash covers all"})
    requested_by = ma.fields.String(required=True)
    decided_by = ma.fields.String(required=True)
    comment = ma.fields.String(required=True)
    applied_by = ma.fields.String(required=True)
    created_at = ma.fields.AwareDateTime(required=True)
    ready_at = ma.fields.AwareDateTime(required=True, allow_none=True)
    decided_at = ma.fields.AwareDateTime(required=True, allow_none=True)
    applied_at = ma.fields.AwareDateTime(required=True, allow_none=True)


class ChangeSchema(ma.Schema):
    """One predicted change on one host."""

    host = ma.fields.String(required=True)
    kind = ma.fields.String(required=True, metadata={"description": "empty: of no resource"})
    resource_id = ma.fields.UUID(required=True, allow_none=True)
    name = ma.fields.String(required=True, metadata={"description": "of the resource, the thing or the task"})
    task = ma.fields.String(required=True)
    message = ma.fields.String(required=True)
    failed = ma.fields.Boolean(required=True, metadata={"description": "it would fail"})
    handler = ma.fields.Boolean(required=True, metadata={"description": "a service that would be reloaded"})
    diff = ma.fields.List(ma.fields.Nested(DifferenceSchema), required=True)


class PlanDetailSchema(PlanSchema):
    """A plan with its predicted changes."""

    changes = ma.fields.List(ma.fields.Nested(ChangeSchema), required=True)


class PlanQuery(PageQuery):
    """Filters of the list of plans; the newest come first."""

    state = Text(validate=ma.validate.OneOf(STATES))
    origin = Text(validate=ma.validate.OneOf(ORIGINS))
    shard_id = Uuid()
    template_id = Uuid()


class DriftSchema(ma.Schema):
    """Something on a host that is not as it was made."""

    id = ma.fields.UUID(required=True)
    shard_id = ma.fields.UUID(required=True, metadata={"x-refers-to": "shards"})
    node_id = ma.fields.UUID(required=True, metadata={"x-refers-to": "nodes"})
    host = ma.fields.String(required=True)
    kind = ma.fields.String(required=True, metadata={"description": "empty: it belongs to no resource"})
    resource_id = ma.fields.UUID(required=True, allow_none=True)
    name = ma.fields.String(required=True, metadata={"description": "of the resource, the thing or the task"})
    task = ma.fields.String(required=True)
    message = ma.fields.String(required=True, metadata={"description": "what would be done about it"})
    diff = ma.fields.List(
        ma.fields.Nested(DifferenceSchema),
        required=True,
        allow_none=True,
        metadata={"description": "before is what is there; for keys of all brands"},
    )
    first_seen = ma.fields.AwareDateTime(required=True)
    last_seen = ma.fields.AwareDateTime(required=True)
    job_id = ma.fields.UUID(required=True, allow_none=True, metadata={"description": "that saw it last"})


class DriftQuery(PageQuery):
    """Filters of the list of drift; what was found last comes first."""

    shard_id = Uuid()
    kind = Text()
    resource_id = Uuid()
    node = Text(metadata={"description": "name of a host"})
