"""Routes of usage: ``/<kind>/{id}/usage`` for every kind that hosts tell of, and a tenant's sums."""

from __future__ import annotations

import uuid
from functools import cache
from typing import Any

import marshmallow as ma
import sqlalchemy as sa
from flask import Response

from api.auth.guard import actor, require
from api.core.errors import not_found
from api.core.fields import NUMBER_MOST, Moment
from api.core.kind import Kind, Usage, registry
from api.core.paging import Order, PageQuery, page
from api.core.routes import errors, page_schema
from api.core.service import visible
from api.core.state import reading
from api.core.wire import Blueprint, answer, refuse_extras
from api.usage.models import STATES, Point
from api.usage.store import measured, newest

TABLE = Point.__table__
#: Of one resource, so the time is unique.
NEWEST_FIRST = Order("at", [TABLE.c.at], descending=True)
SHOWN = [TABLE.c.at, TABLE.c.state, TABLE.c.numbers]


class UsageQuery(PageQuery):
    """Parameters of a list of points."""

    since = Moment(metadata={"description": "the oldest time"})
    until = Moment(metadata={"description": "before this time"})


def blueprints() -> list[Blueprint]:
    """Return the blueprints; kinds must have been declared."""
    return [*(_of_kind(kind) for kind, _ in measured()), _of_tenants()]


@cache
def _numbers(kind: Kind) -> type[ma.Schema]:
    assert kind.usage is not None  # noqa: S101 - measured returns no other
    fields: dict[str, Any] = {
        field: ma.fields.Integer(validate=ma.validate.Range(0, NUMBER_MOST), metadata={"description": text})
        for field, text in kind.usage.fields.items()
    }
    return type(f"{kind.model.__name__}UsageNumbers", (ma.Schema,), fields)


def _of_kind(kind: Kind) -> Blueprint:
    name = kind.model.__name__
    blp = Blueprint(
        f"{kind.plural}-usage", __name__, url_prefix=f"/{kind.plural}", description=f"Usage of {kind.plural}."
    )
    fields: dict[str, Any] = {
        "at": ma.fields.AwareDateTime(required=True),
        "state": ma.fields.String(required=True, validate=ma.validate.OneOf(STATES)),
        "numbers": ma.fields.Nested(_numbers(kind), required=True),
    }
    point = type(f"{name}UsagePoint", (ma.Schema,), fields)

    @blp.route("/<uuid:id>/usage", endpoint="usage")
    @require(f"{kind.name}:read", every_brand=kind.needs_every_brand("read"))
    @blp.arguments(UsageQuery, location="query", unknown=ma.RAISE)
    @errors(blp, 400, 404, 422)
    @blp.response(200, page_schema(f"{name}Usage", point))
    @blp.doc(operationId=f"get_{kind.name}_usage", summary=f"List what a {kind.name} used, the newest first")
    def points(query: dict[str, Any], id: uuid.UUID) -> Response:
        """Return a page of points; the first one of the first page is the newest."""
        chosen = sa.select(*SHOWN).where(TABLE.c.kind == kind.name, TABLE.c.resource_id == id)
        if "since" in query:
            chosen = chosen.where(TABLE.c.at >= query["since"])
        if "until" in query:
            chosen = chosen.where(TABLE.c.at < query["until"])
        with reading() as session:
            if session.scalar(sa.select(kind.model.id).where(kind.model.id == id, *visible(kind, actor()))) is None:
                raise not_found()
            return answer(page(session, chosen, NEWEST_FIRST, limit=query["limit"], cursor=query["cursor"]))

    return blp


def _of_tenants() -> Blueprint:
    tenant = registry["tenant"]
    blp = Blueprint("tenants-usage", __name__, url_prefix="/tenants", description="Usage of tenants.")
    owned = [(kind, usage) for kind, usage in measured() if "tenant_id" in kind.model.__table__.c]

    def sums(kind: Kind) -> type[ma.Schema]:
        fields: dict[str, Any] = {
            "count": ma.fields.Integer(required=True, metadata={"description": "how many the tenant has"}),
            "measured": ma.fields.Integer(
                required=True, metadata={"description": "of them, those that were looked at"}
            ),
            "oldest": ma.fields.AwareDateTime(
                required=True, allow_none=True, metadata={"description": "when the one looked at longest ago was"}
            ),
            "numbers": ma.fields.Nested(_numbers(kind), required=True),
        }
        return type(f"{kind.model.__name__}UsageSum", (ma.Schema,), fields)

    answered: Any = {kind.plural.replace("-", "_"): ma.fields.Nested(sums(kind), required=True) for kind, _ in owned}

    @blp.route("/<uuid:id>/usage", endpoint="usage")
    @require("tenant:read")
    @errors(blp, 404)
    @blp.response(200, type("TenantUsageSchema", (ma.Schema,), answered))
    @blp.doc(operationId="get_tenant_usage", summary="Sum what the resources of a tenant use")
    def usage_of(id: uuid.UUID) -> Response:
        """Return the sums of the newest points, for quotas."""
        refuse_extras()
        found = {}
        with reading() as session:
            mine = sa.select(tenant.model.id).where(tenant.model.id == id, *visible(tenant, actor()))
            if session.scalar(mine) is None:
                raise not_found()
            for kind, usage in owned:
                table = kind.model.__table__
                last = (
                    sa.select(table.c.id, newest(kind, Point.at).label("at")).where(table.c.tenant_id == id).subquery()
                )
                join = sa.and_(TABLE.c.kind == kind.name, TABLE.c.resource_id == last.c.id, TABLE.c.at == last.c.at)
                rows = session.execute(sa.select(last.c.at, TABLE.c.numbers).outerjoin_from(last, TABLE, join)).all()
                found[kind.plural.replace("-", "_")] = _sum(usage, rows)
        return answer(found)

    return blp


def _sum(usage: Usage, rows: Any) -> dict[str, Any]:
    told = [row for row in rows if row.at is not None]
    numbers = {
        field: sum(row.numbers[field] for row in told if field in row.numbers)
        for field in usage.fields
        if any(field in row.numbers for row in told)
    }
    return {
        "count": len(rows),
        "measured": len(told),
        "oldest": min((row.at for row in told), default=None),
        "numbers": numbers,
    }
