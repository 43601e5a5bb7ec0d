"""What the routes of jobs take and answer."""

from __future__ import annotations

import marshmallow as ma

from api.core.fields import Text, Uuid, Whole
from api.core.paging import Order, PageQuery
from api.jobs.models import READ, Job, JobResource
from api.jobs.output import CONTENT_TYPES
from api.jobs.steer import OVER

STATES = ("queued", "running", *OVER)
_JOB, _RESOURCE = Job.__table__, JobResource.__table__
ORDERS = {
    order.name: order
    for order in (Order("created_at", [_JOB.c.created_at, _JOB.c.id], descending) for descending in (True, False))
}
#: Within one job.
RESOURCES = Order("resource", [_RESOURCE.c.kind, _RESOURCE.c.resource_id, _RESOURCE.c.host])


PURPOSES = ("", "check", "apply", READ)
#: For the API's description.
PURPOSE = (
    "check: only predicts, for a plan or a search for drift; apply: carries out an approved plan; read: reads usage"
)
COUNTED = "counted per resource and host; of a launch: hosts"


class JobSchema(ma.Schema):
    """One run of a playbook, for a shard or of a launch."""

    id = ma.fields.UUID(required=True)
    shard_id = ma.fields.UUID(
        required=True, allow_none=True, metadata={"description": "null: a launch, see /launches/{id}"}
    )
    state = ma.fields.String(required=True, validate=ma.validate.OneOf(STATES))
    reason = ma.fields.String(required=True, metadata={"description": "why it failed or was abandoned"})
    playbook = ma.fields.String(required=True)
    purpose = ma.fields.String(required=True, validate=ma.validate.OneOf(PURPOSES), metadata={"description": PURPOSE})
    full = ma.fields.Boolean(required=True, metadata={"description": "everything, and orphans are removed"})
    created_at = ma.fields.AwareDateTime(required=True)
    started_at = ma.fields.AwareDateTime(required=True, allow_none=True)
    ended_at = ma.fields.AwareDateTime(required=True, allow_none=True)
    seconds = ma.fields.Float(required=True, allow_none=True, metadata={"description": "from start to end"})
    cancel_requested_at = ma.fields.AwareDateTime(required=True, allow_none=True)
    canceled_by = ma.fields.String(required=True, metadata={"description": "name of an API key"})
    resources = ma.fields.Integer(required=True, metadata={"description": "resources that it carried"})
    changed = ma.fields.Integer(required=True, metadata={"description": COUNTED})
    failed = ma.fields.Integer(required=True, metadata={"description": COUNTED})
    audit_head = ma.fields.String(
        required=True, metadata={"description": "where the audit ended when it was taken; hosts note it"}
    )
    events_lost = ma.fields.Boolean(required=True)
    truncated = ma.fields.Boolean(required=True)
    events_sha256 = ma.fields.String(required=True)


class JobHostSchema(ma.Schema):
    """What a run did on one host; counts are of tasks."""

    host = ma.fields.String(required=True)
    ok = ma.fields.Integer(required=True)
    changed = ma.fields.Integer(required=True)
    failed = ma.fields.Integer(required=True)
    skipped = ma.fields.Integer(required=True)
    unreachable = ma.fields.Boolean(required=True)
    seconds = ma.fields.Float(required=True)
    message = ma.fields.String(required=True)


class JobDetailSchema(JobSchema):
    """A job with its hosts."""

    hosts = ma.fields.List(ma.fields.Nested(JobHostSchema), required=True)


#: For the API's description.
DIFF = "what changed on the host, as far as it was told; for keys of all brands"


class DifferenceSchema(ma.Schema):
    """One file, record or line that changed."""

    what = ma.fields.String(required=True)
    before = ma.fields.String(required=True)
    after = ma.fields.String(required=True)


class JobResourceSchema(ma.Schema):
    """What a run did to one resource on one host."""

    kind = ma.fields.String(required=True)
    resource_id = ma.fields.UUID(required=True)
    host = ma.fields.String(required=True)
    generation = ma.fields.Integer(required=True)
    changed = ma.fields.Boolean(required=True)
    failed = ma.fields.Boolean(required=True)
    message = ma.fields.String(required=True)
    diff = ma.fields.List(
        ma.fields.Nested(DifferenceSchema), required=True, allow_none=True, metadata={"description": DIFF}
    )


class JobQuery(PageQuery):
    """Filters of the list of jobs; the newest come first."""

    sort = Text(load_default="-created_at", validate=ma.validate.OneOf(list(ORDERS)))
    state = Text(validate=ma.validate.OneOf(STATES))
    purpose = Text(validate=ma.validate.OneOf(PURPOSES))
    shard_id = Uuid()
    resource_id = Uuid(metadata={"description": "jobs that carried this resource"})


class EventQuery(ma.Schema):
    """Where to go on reading."""

    offset = Whole(load_default=0, metadata={"description": "`next_offset` of the answer before"})
    limit = Whole(load_default=200, validate=ma.validate.Range(1, 1000))


class StreamQuery(ma.Schema):
    """Where a stream begins."""

    offset = Whole(load_default=0, metadata={"description": "`next_offset` of a page, or the id of an event"})


class OutputQuery(ma.Schema):
    """Which lines of the output, and how."""

    format = Text(load_default="text", validate=ma.validate.OneOf(list(CONTENT_TYPES)))
    start = Whole(load_default=0, metadata={"description": "first line, from 0"})
    end = Whole(load_default=None, metadata={"description": "the line behind the last one; to the end without it"})
    download = ma.fields.Boolean(load_default=False, metadata={"description": "as a file"})


class RelaunchSchema(ma.Schema):
    """What is done again."""

    hosts = Text(load_default="all", validate=ma.validate.OneOf(["all", "failed"]))


class EventsSchema(ma.Schema):
    """Events from an offset on."""

    items = ma.fields.List(ma.fields.Dict(), required=True)
    next_offset = ma.fields.Integer(required=True, metadata={"description": "bytes; also when nothing came"})
    ended = ma.fields.Boolean(required=True, metadata={"description": "the job is over and nothing follows"})


class InventoryQuery(ma.Schema):
    """Which part of the platform."""

    shard = Text(load_default=None, metadata={"description": "name of one shard; all without it"})


class InventoryDocumentSchema(ma.Schema):
    """What the inventory plugin reads."""

    hosts = ma.fields.Dict(required=True)
    groups = ma.fields.Dict(required=True)
