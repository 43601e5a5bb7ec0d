"""What the routes of moves take and answer."""

from __future__ import annotations

import marshmallow as ma

from api.core.fields import Text, Uuid
from api.core.paging import Order, PageQuery
from api.moves.models import STATES, Move

TABLE = Move.__table__
SHOWN = list(TABLE.c)
MOVES = Order("created_at", [TABLE.c.created_at, TABLE.c.id], descending=True)
#: Seconds for which writes may wait.
LEAST, MOST = 5, 600


class MoveBody(ma.Schema):
    """Where a resource shall go."""

    shard_id = Uuid(required=True, metadata={"x-refers-to": "shards"})
    lock_seconds = ma.fields.Integer(
        strict=True,
        load_default=60,
        validate=ma.validate.Range(LEAST, MOST),
        metadata={"description": "for which writes may wait; if it would take longer, nothing is moved"},
    )


class MoveSchema(ma.Schema):
    """A resource on its way to another shard."""

    id = ma.fields.UUID(required=True)
    kind = ma.fields.String(required=True)
    resource_id = ma.fields.UUID(required=True)
    name = ma.fields.String(required=True)
    brand_id = ma.fields.UUID(required=True, allow_none=True, metadata={"x-refers-to": "brands"})
    source_id = ma.fields.UUID(required=True, metadata={"x-refers-to": "shards"})
    target_id = ma.fields.UUID(required=True, metadata={"x-refers-to": "shards"})
    source_address = ma.fields.String(required=True)
    target_address = ma.fields.String(required=True, metadata={"description": "where it is once it has switched"})
    lock_seconds = ma.fields.Integer(required=True)
    state = ma.fields.String(required=True, validate=ma.validate.OneOf(STATES))
    message = ma.fields.String(required=True, metadata={"description": "why it failed"})
    job_id = ma.fields.UUID(required=True, allow_none=True, metadata={"description": "copies; cancel it to cancel"})
    drop_job_id = ma.fields.UUID(required=True, allow_none=True, metadata={"description": "drops the old copy"})
    progress = ma.fields.Dict(
        keys=ma.fields.String(),
        required=True,
        metadata={
            "description": "phase; of a database also passes, and tables, rows, bytes, done and estimated (…_total)"
        },
    )
    result = ma.fields.Dict(
        keys=ma.fields.String(),
        required=True,
        metadata={
            "description": "bytes, locked_seconds (writes waited); of a database also tables, rows, passes, seconds, "
            "of a Valkey instance keys, expiring, by (replication, snapshot)"
        },
    )
    requested_by = ma.fields.String(required=True)
    created_at = ma.fields.AwareDateTime(required=True)
    switched_at = ma.fields.AwareDateTime(required=True, allow_none=True)
    ended_at = ma.fields.AwareDateTime(required=True, allow_none=True)


class MoveQuery(PageQuery):
    """Filters of the list of moves; the newest come first."""

    state = Text(validate=ma.validate.OneOf(STATES))
    kind = Text()
    resource_id = Uuid()
