"""``GET /audit``: who changed what."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
import sqlalchemy as sa
from flask import Response

from api.auth.guard import actor, require
from api.core.audit import Audit
from api.core.fields import Text, Uuid
from api.core.paging import Order, PageQuery, page
from api.core.routes import errors, page_schema
from api.core.state import reading
from api.core.wire import Blueprint, answer

blp = Blueprint("audit", __name__, url_prefix="/audit", description="Who changed what, when, with which result.")

TABLE = Audit.__table__
ORDERS = {
    order.name: order for order in (Order("at", [TABLE.c.at, TABLE.c.id], descending) for descending in (True, False))
}


class AuditSchema(ma.Schema):
    """One mutation or run."""

    id = ma.fields.UUID(required=True)
    at = ma.fields.AwareDateTime(required=True)
    actor_id = ma.fields.UUID(required=True, allow_none=True)
    actor_name = ma.fields.String(required=True)
    action = ma.fields.String(required=True)
    kind = ma.fields.String(required=True)
    resource_id = ma.fields.UUID(required=True)
    brand_id = ma.fields.UUID(required=True, allow_none=True)
    before = ma.fields.Dict(required=True, allow_none=True)
    after = ma.fields.Dict(required=True, allow_none=True)
    result = ma.fields.String(required=True)
    duration_ms = ma.fields.Integer(required=True)
    job_ids = ma.fields.List(ma.fields.String(), required=True)
    trace_id = ma.fields.String(required=True)
    remote_addr = ma.fields.String(required=True)


class AuditQuery(PageQuery):
    """Filters of the audit; the newest entries come first."""

    sort = Text(load_default="-at", validate=ma.validate.OneOf(list(ORDERS)))
    actor_id = Uuid()
    brand_id = Uuid()
    resource_id = Uuid()
    kind = Text()
    action = Text()


@blp.route("", endpoint="list")
@require("audit:read")
@blp.arguments(AuditQuery, location="query", unknown=ma.RAISE)
@errors(blp, 400, 422)
@blp.response(200, page_schema("Audit", AuditSchema))
@blp.doc(operationId="list_audit", summary="List the audit")
def list_(query: dict[str, Any]) -> Response:
    """Return a page of the audit; a brand's key sees what happened to its brands."""
    limit, cursor, order = query.pop("limit"), query.pop("cursor"), ORDERS[query.pop("sort")]
    chosen = sa.select(*TABLE.c).where(*(TABLE.c[name] == value for name, value in query.items()))
    if actor().brands is not None:
        chosen = chosen.where(TABLE.c.brand_id.in_(actor().brands or ()))
    with reading() as session:
        return answer(page(session, chosen, order, limit=limit, cursor=cursor))
