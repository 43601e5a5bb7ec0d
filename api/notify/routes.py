"""Routes of notices: the delivery log, redelivery, and the secret of call-backs."""

from __future__ import annotations

import uuid
from typing import Any

import marshmallow as ma
import sqlalchemy as sa
from flask import Response
from sqlalchemy.orm import Session

from api.auth.guard import actor, require
from api.core import shown_once
from api.core.announce import TOPICS
from api.core.db import now
from api.core.errors import conflict, not_found
from api.core.fields import Text, Uuid
from api.core.mutation import Outcome, mutate
from api.core.paging import Order, PageQuery
from api.core.reads import found, listed
from api.core.routes import IDEMPOTENCY, SECRET, errors, page_schema, result_schema
from api.core.wire import Blueprint, refuse_extras
from api.notify import sender
from api.notify.callbacks import WAITING
from api.notify.models import STATES, CallbackSecret, Notice
from api.notify.notification import TEST

notices = Blueprint("notices", __name__, url_prefix="/notices", description="What others were told, and how it went.")
secrets = Blueprint("callback-secret", __name__, url_prefix="/callback-secret", description="What signs call-backs.")

TABLE = Notice.__table__
#: Neither the address of a call-back, which may hold a token, nor the sender's own counters.
SHOWN = [column for column in TABLE.c if column.key not in ("url", "key_id", "generation", "tries_before")]
ORDERS = {order.name: order for order in (Order("created_at", [TABLE.c.created_at, TABLE.c.id], down)
                                          for down in (True, False))}  # fmt: skip
ALL_TOPICS = (*TOPICS, TEST, WAITING)


class NoticeSchema(ma.Schema):
    """A message to one receiver."""

    id = ma.fields.UUID(required=True, metadata={"description": "also the header X-Hostreeve-Delivery"})
    notification_id = ma.fields.UUID(
        required=True, allow_none=True, metadata={"x-refers-to": "notifications", "description": "null: a call-back"}
    )
    target = ma.fields.String(required=True, metadata={"description": "scheme, host and port, or mail"})
    topic = ma.fields.String(required=True)
    kind = ma.fields.String(required=True)
    resource_id = ma.fields.UUID(required=True)
    brand_id = ma.fields.UUID(required=True, allow_none=True)
    payload = ma.fields.Dict(required=True, metadata={"description": "what is sent, or what the template is given"})
    state = ma.fields.String(required=True, validate=ma.validate.OneOf(STATES))
    tries = ma.fields.Integer(required=True)
    next_at = ma.fields.AwareDateTime(required=True, metadata={"description": "of what is pending or failed"})
    answer = ma.fields.String(required=True, metadata={"description": "how the last attempt ended"})
    created_at = ma.fields.AwareDateTime(required=True)
    ended_at = ma.fields.AwareDateTime(required=True, allow_none=True)


class NoticeQuery(PageQuery):
    """Filters of the log; the newest come first."""

    sort = Text(load_default="-created_at", validate=ma.validate.OneOf(list(ORDERS)))
    notification_id = Uuid()
    resource_id = Uuid()
    state = Text(validate=ma.validate.OneOf(STATES))
    topic = Text(validate=ma.validate.OneOf(ALL_TOPICS))


class CallbackSecretSchema(ma.Schema):
    """That an API key has a secret, and since when."""

    key_id = ma.fields.UUID(required=True)
    created_at = ma.fields.AwareDateTime(required=True)


def _visible() -> list[Any]:
    brands = actor().brands
    return [] if brands is None else [TABLE.c.brand_id.in_(brands)]


@notices.route("", endpoint="list")
@require("notice:read")
@notices.arguments(NoticeQuery, location="query", unknown=ma.RAISE)
@errors(notices, 400, 422)
@notices.response(200, page_schema("Notice", NoticeSchema))
@notices.doc(operationId="list_notices", summary="List what others were told")
def list_(query: dict[str, Any]) -> Response:
    """Return a page of the delivery log."""
    return listed(query, sa.select(*SHOWN).where(*_visible()), ORDERS, TABLE.c)


@notices.route("/<uuid:id>", endpoint="get")
@require("notice:read")
@errors(notices, 404)
@notices.response(200, NoticeSchema)
@notices.doc(operationId="get_notice", summary="Read one notice")
def get(id: uuid.UUID) -> Response:
    """Return a notice."""
    return found(sa.select(*SHOWN).where(TABLE.c.id == id, *_visible()))


@notices.route("/<uuid:id>/redeliver", methods=["POST"], endpoint="redeliver")
@require("notice:redeliver")
@errors(notices, 404, 409, 422)
@notices.response(202, result_schema("Notice", NoticeSchema))
@notices.doc(operationId="redeliver_notice", summary="Send a notice again", parameters=[IDEMPOTENCY])
def redeliver(id: uuid.UUID) -> Response:
    """Send it once more, now and under the same id, with new tries if it fails."""
    refuse_extras()

    def work(session: Session) -> Outcome:
        row = session.scalar(sa.select(Notice).where(Notice.id == id, *_visible()).with_for_update())
        if row is None:
            raise not_found()
        if row.state == "waiting":
            raise conflict("Its resource has not settled yet.", "state")
        before = {"state": row.state}
        sender.redeliver(session, row)
        session.flush()
        shown = {column.key: getattr(row, column.key) for column in SHOWN}
        return Outcome("notice", id, shown, brand_id=row.brand_id, before=before, after={"state": row.state})

    return mutate("redeliver", work)


@secrets.route("", methods=["POST"], endpoint="create")
@require("callback_secret:write")
@errors(secrets, 422)
@secrets.response(202, result_schema("CallbackSecret", CallbackSecretSchema, secret=SECRET))
@secrets.doc(operationId="create_callback_secret", summary="Make the secret of call-backs", parameters=[IDEMPOTENCY])
def create() -> Response:
    """Make up the secret that signs what this key's `callback_url` is sent, in place of an earlier one."""
    refuse_extras()

    def work(session: Session) -> Outcome:
        secret, who = shown_once.generate(), actor()
        row = session.merge(CallbackSecret(key_id=who.id, secret=secret, created_at=now()))
        session.flush()
        resource = {"key_id": row.key_id, "created_at": row.created_at}
        return Outcome("callback_secret", who.id, resource, before=None, after={}, once={"secret": secret})

    return mutate("create", work)
