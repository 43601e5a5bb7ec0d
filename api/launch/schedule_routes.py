"""Routes of schedules beyond those of their kind: what comes, and what was."""

from __future__ import annotations

import uuid
import zoneinfo
from datetime import datetime
from typing import Any

import marshmallow as ma
import sqlalchemy as sa
from flask import Response

from api.auth.guard import require
from api.core.errors import invalid, not_found
from api.core.fields import Text, Whole
from api.core.paging import LIMIT_MOST, Order, PageQuery, page
from api.core.routes import errors, page_schema
from api.core.state import reading
from api.core.wire import Blueprint, answer
from api.jobs.sql import read_clock
from api.launch import rules
from api.launch.kinds.schedule import Schedule
from api.launch.models import Firing

blp = Blueprint("scheduling", __name__, url_prefix="/schedules", description="When schedules fire.")

FIRING = Firing.__table__
ORDER = Order("fires_at", [FIRING.c.fires_at], descending=True)
#: Firings of a preview.
COUNT = 10


class MomentSchema(ma.Schema):
    """A time at which a schedule fires."""

    utc = ma.fields.AwareDateTime(required=True)
    local = ma.fields.String(required=True, metadata={"example": "2027-03-28T03:30:00+02:00"})


PREVIEW = page_schema("Preview", MomentSchema)


class FiringSchema(ma.Schema):
    """A time at which a schedule fired, or did not."""

    fires_at = ma.fields.AwareDateTime(required=True)
    result = ma.fields.String(
        required=True, validate=ma.validate.OneOf(["launched", "planned", "missed", "overlapped", "refused"])
    )
    message = ma.fields.String(required=True)
    job_id = ma.fields.UUID(required=True, allow_none=True)
    workflow_run_id = ma.fields.UUID(required=True, allow_none=True)
    created_at = ma.fields.AwareDateTime(required=True)


class LimitQuery(ma.Schema):
    """How much of a preview; there are never more than ten."""

    limit = Whole(load_default=COUNT, validate=ma.validate.Range(1, LIMIT_MOST))


class PreviewQuery(LimitQuery):
    """A schedule that is not there yet."""

    rule = Text(required=True, metadata={"example": "30 3 * * *"})
    timezone = Text(load_default="UTC")
    starts_at = ma.fields.AwareDateTime(load_default=None)


def _moments(rule: str, timezone: str, starts_at: datetime, now: datetime, limit: int) -> Response:
    here = zoneinfo.ZoneInfo(timezone)
    found = rules.preview(rule, timezone, starts_at, now, min(limit, COUNT))
    items = [{"utc": moment, "local": moment.astimezone(here).isoformat()} for moment in found]
    return answer({"items": items, "next_cursor": None, "has_more": False})


@blp.route("/preview", endpoint="preview_new")
@require("schedule:read", every_brand=True)
@blp.arguments(PreviewQuery, location="query", unknown=ma.RAISE)
@errors(blp, 422)
@blp.response(200, PREVIEW)
@blp.doc(operationId="preview_schedule", summary="See when a rule would fire")
def preview_new(query: dict[str, Any]) -> Response:
    """Return the next ten times of a rule, in UTC and as clocks show them there."""
    for name, check in (("rule", rules.rule), ("timezone", rules.zone)):
        try:
            query[name] = check(query[name])
        except ValueError as error:
            raise invalid(name, str(error), where="query") from None
    with reading() as session:
        now = read_clock(session)
    start = (query["starts_at"] or now).replace(second=0, microsecond=0)
    return _moments(query["rule"], query["timezone"], start, now, query["limit"])


@blp.route("/<uuid:id>/preview", endpoint="preview")
@require("schedule:read", every_brand=True)
@blp.arguments(LimitQuery, location="query", unknown=ma.RAISE)
@errors(blp, 404, 422)
@blp.response(200, PREVIEW)
@blp.doc(operationId="get_schedule_preview", summary="See when a schedule fires next")
def preview(query: dict[str, Any], id: uuid.UUID) -> Response:
    """Return its next ten times, in UTC and as clocks show them there, whether it is enabled or not."""
    with reading() as session:
        row = session.get(Schedule, id)
        if row is None:
            raise not_found()
        return _moments(row.rule, row.timezone, row.starts_at, read_clock(session), query["limit"])


@blp.route("/<uuid:id>/firings", endpoint="firings")
@require("schedule:read", every_brand=True)
@blp.arguments(PageQuery, location="query", unknown=ma.RAISE)
@errors(blp, 400, 404, 422)
@blp.response(200, page_schema("Firing", FiringSchema))
@blp.doc(operationId="list_schedule_firings", summary="List when a schedule fired")
def firings(query: dict[str, Any], id: uuid.UUID) -> Response:
    """Return a page of its firings, the newest first, with those that came to nothing and why."""
    with reading() as session:
        if session.scalar(sa.select(Schedule.id).where(Schedule.id == id)) is None:
            raise not_found()
        shown = [column for column in FIRING.c if column.key != "schedule_id"]
        return answer(page(session, sa.select(*shown).where(FIRING.c.schedule_id == id), ORDER, **query))
