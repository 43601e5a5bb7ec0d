"""Routes of db shards: how they are, and moves of the primary."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import marshmallow as ma
import sqlalchemy as sa
from flask import Response
from sqlalchemy.orm import Session

from api.auth.guard import actor, require
from api.core.fields import Bool, Uuid
from api.core.kind import registry
from api.core.mutation import Outcome, mutate
from api.core.reads import found
from api.core.routes import IDEMPOTENCY, errors, result_schema
from api.core.schema import view_schema
from api.core.service import find, resource_of
from api.core.wire import Blueprint
from api.jobs.models import Job
from api.kinds.node import Node
from api.watch import moves
from api.watch.answers import AnswerSchema
from api.watch.models import STATES, ShardHealth

shards = Blueprint("moving", __name__, url_prefix="/shards", description="The health and the primary of db shards.")


class SwitchoverBody(ma.Schema):
    """Where the primary goes."""

    class Meta:
        """Nothing that a caller sent is dropped in silence."""

        unknown = ma.RAISE

    node_id = Uuid(
        load_default=None,
        allow_none=True,
        metadata={"description": "the new primary; by default a healthy replica", "x-refers-to": "nodes"},
    )
    check = Bool(load_default=False, metadata={"description": "only say what it would do, in the launch's data"})


class FailoverBody(SwitchoverBody):
    """Which replica takes over, and at what price."""

    accept_loss = Bool(
        load_default=False, metadata={"description": "go on although commits that were acknowledged may be lost"}
    )


class RebuildBody(ma.Schema):
    """Which replica begins anew."""

    class Meta:
        """Nothing that a caller sent is dropped in silence."""

        unknown = ma.RAISE

    node_id = Uuid(required=True, metadata={"x-refers-to": "nodes"})
    check = Bool(load_default=False, metadata={"description": "only say whether it would"})


class NodeHealthSchema(ma.Schema):
    """A node as it was seen last."""

    node_id = ma.fields.UUID(required=True)
    name = ma.fields.String(required=True)
    address = ma.fields.String(required=True)
    is_primary = ma.fields.Boolean(required=True, metadata={"description": "as the platform has recorded it"})
    answered_at = ma.fields.DateTime(required=True, allow_none=True)
    answer = ma.fields.Nested(AnswerSchema, required=True, allow_none=True)


class ShardHealthSchema(ma.Schema):
    """The health of a db shard."""

    shard_id = ma.fields.UUID(required=True)
    state = ma.fields.String(required=True, validate=ma.validate.OneOf(STATES))
    since = ma.fields.DateTime(required=True)
    problems = ma.fields.List(ma.fields.String(), required=True)
    nodes = ma.fields.List(ma.fields.Nested(NodeHealthSchema), required=True)
    looked_at = ma.fields.DateTime(required=True, allow_none=True)
    gone_since = ma.fields.DateTime(
        required=True,
        allow_none=True,
        metadata={"description": "since when both observers have been agreeing that the primary is gone"},
    )
    halted = ma.fields.String(
        required=True, metadata={"description": "why no replica is promoted automatically until somebody has looked"}
    )


SHOWN = [column for column in ShardHealth.__table__.c if column.key not in ("told", "next_at", "covered_at")]


@shards.route("/<uuid:id>/health", endpoint="health")
@require("shard:read", every_brand=True)
@errors(shards, 404)
@shards.response(200, ShardHealthSchema)
@shards.doc(operationId="get_shard_health", summary="Read the health of a db shard")
def health(id: uuid.UUID) -> Response:
    """Return what the watch saw last; 404 for shards of other roles, and before the first look."""
    return found(sa.select(*SHOWN).where(ShardHealth.shard_id == id))


@shards.route("/<uuid:id>/switchover", methods=["POST"], endpoint="switchover")
@require("shard:switchover", every_brand=True)
@shards.arguments(SwitchoverBody)
@errors(shards, 400, 404, 409, 412, 413, 415, 422)
@shards.response(202, result_schema("ShardSwitchover", view_schema(registry["shard"])))
@shards.doc(operationId="switchover_shard", summary="Move a db shard's primary", parameters=[IDEMPOTENCY])
def switchover(body: dict[str, Any], id: uuid.UUID) -> Response:
    """Move the primary to a replica while both are up. No commit that was acknowledged is lost."""

    def move(session: Session, row: Any) -> tuple[Job, dict[str, Any]]:
        job, node = moves.switchover(session, row, body["node_id"], actor().name, check=body["check"])
        return job, {"new_primary": node.name}

    return _move("switchover", id, body, move)


@shards.route("/<uuid:id>/failover", methods=["POST"], endpoint="failover")
@require("shard:failover", every_brand=True)
@shards.arguments(FailoverBody)
@errors(shards, 400, 404, 409, 412, 413, 415, 422)
@shards.response(202, result_schema("ShardFailover", view_schema(registry["shard"])))
@shards.doc(operationId="failover_shard", summary="Promote a replica of a db shard", parameters=[IDEMPOTENCY])
def failover(body: dict[str, Any], id: uuid.UUID) -> Response:
    """Promote the most advanced replica of a dead primary, which is fenced if its host answers."""

    def move(session: Session, row: Any) -> tuple[Job, dict[str, Any]]:
        loss, check = body["accept_loss"], body["check"]
        job, node = moves.failover(session, row, body["node_id"], actor().name, accept_loss=loss, check=check)
        return job, {"dead_primary": node.name, "accept_loss": loss}

    return _move("failover", id, body, move)


@shards.route("/<uuid:id>/rebuild", methods=["POST"], endpoint="rebuild")
@require("shard:rebuild", every_brand=True)
@shards.arguments(RebuildBody)
@errors(shards, 400, 404, 409, 412, 413, 415, 422)
@shards.response(202, result_schema("ShardRebuild", view_schema(registry["shard"])))
@shards.doc(operationId="rebuild_replica", summary="Rebuild a replica of a db shard", parameters=[IDEMPOTENCY])
def rebuild(body: dict[str, Any], id: uuid.UUID) -> Response:
    """Copy the primary onto a replica that holds what the primary lacks; its data are put aside on its host."""

    def move(session: Session, row: Any) -> tuple[Job, dict[str, Any]]:
        job, _ = moves.rebuild(session, row, body["node_id"], actor().name, check=body["check"])
        return job, {}

    return _move("rebuild", id, body, move)


def _move(
    action: str, id_: uuid.UUID, body: dict[str, Any], move: Callable[[Session, Any], tuple[Job, dict[str, Any]]]
) -> Response:
    def work(session: Session) -> Outcome:
        kind = registry["shard"]
        row = find(session, kind, id_, actor())
        job, facts = move(session, row)
        node = session.get(Node, body["node_id"]) if body["node_id"] else None
        facts |= {"node": node.name if node else "", "check": body["check"]}
        return Outcome(kind.name, row.id, resource_of(kind, row), jobs=[job], before={}, after=facts)

    return mutate(action, work)
