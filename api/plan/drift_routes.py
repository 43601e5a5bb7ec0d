"""Routes of drift. A brand's key sees what is about its own resources, and not how hosts are configured."""

from __future__ import annotations

import uuid
from typing import Any

import marshmallow as ma
import sqlalchemy as sa
from flask import Response
from sqlalchemy.orm import Session

from api.auth.guard import actor, require
from api.core.errors import not_found
from api.core.kind import registry
from api.core.mutation import Outcome, mutate
from api.core.reads import found, listed
from api.core.routes import IDEMPOTENCY, errors, page_schema, result_schema
from api.core.schema import view_schema
from api.core.service import find, resource_of
from api.core.wire import Blueprint, refuse_extras
from api.jobs import visibility
from api.plan import search
from api.plan.schemas import DRIFT, FOUND, DriftQuery, DriftSchema
from api.plan.start import lone

blp = Blueprint("drift", __name__, url_prefix="/drift", description="What on hosts is not as it was made.")
shards = Blueprint("searching", __name__, url_prefix="/shards", description="Search the hosts of a shard for drift.")


def _chosen() -> sa.Select[Any]:
    """Return the rows that the actor may see."""
    hidden = ("key",) if actor().brands is None else ("key", "diff", "task")
    columns = [column for column in DRIFT.c if column.key not in hidden]
    if actor().brands is not None:
        columns += [sa.null().label("diff"), sa.literal("").label("task")]
    return sa.select(*columns).where(*visibility.own(actor(), DRIFT.c))


@blp.route("", endpoint="list")
@require("drift:read")
@blp.arguments(DriftQuery, location="query", unknown=ma.RAISE)
@errors(blp, 400, 422)
@blp.response(200, page_schema("Drift", DriftSchema))
@blp.doc(operationId="list_drift", summary="List drift")
def list_(query: dict[str, Any]) -> Response:
    """Return a page of what was found and is not repaired yet."""
    if "node" in query:
        query["host"] = query.pop("node")
    return listed(query, _chosen(), FOUND, DRIFT.c)


@blp.route("/<uuid:id>", endpoint="get")
@require("drift:read")
@errors(blp, 404)
@blp.response(200, DriftSchema)
@blp.doc(operationId="get_drift", summary="Read one drift")
def get(id: uuid.UUID) -> Response:
    """Return one of them."""
    return found(_chosen().where(DRIFT.c.id == id))


@shards.route("/<uuid:id>/check", methods=["POST"], endpoint="check")
@require("shard:check", every_brand=True)
@errors(shards, 404, 409, 412, 422)
@shards.response(202, result_schema("ShardCheck", view_schema(registry["shard"])))
@shards.doc(operationId="check_shard", summary="Search the hosts of a shard for drift", parameters=[IDEMPOTENCY])
def check(id: uuid.UUID) -> Response:
    """Search now, whenever the next search is due; what is found is dealt with as the shard's policy says."""
    refuse_extras()

    def work(session: Session) -> Outcome:
        kind = registry["shard"]
        row = find(session, kind, id, actor())
        if row.delete_requested:
            raise not_found()
        job = search.under_way(session, row.id) or lone(session, row.id, "check")
        return Outcome(kind.name, row.id, resource_of(kind, row), jobs=[job], before={}, after={})

    return mutate("check", work)
