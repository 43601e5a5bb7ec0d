"""``/audit``: who changed what, where the chain ends, its keys, and exports."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
import sqlalchemy as sa
from flask import Response

from api.auth.guard import actor, require
from api.core import audit_export
from api.core.audit import Audit
from api.core.chain import HEAD, KEY
from api.core.fields import Text, Uuid
from api.core.paging import Order, PageQuery
from api.core.reads import listed
from api.core.routes import errors, page_schema
from api.core.state import state
from api.core.wire import Blueprint, answer, refuse_extras

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
    seq = ma.fields.Integer(
        required=True, allow_none=True, metadata={"description": "place in the chain; null: from before there was one"}
    )
    prev_hash = ma.fields.String(required=True, allow_none=True)
    key_id = ma.fields.UUID(required=True, allow_none=True, metadata={"description": "of the key that signed it"})
    hash = ma.fields.String(required=True, allow_none=True)
    signature = ma.fields.String(required=True, allow_none=True)


class HeadSchema(ma.Schema):
    """The newest record of the chain; nulls and zeros before the first."""

    seq = ma.fields.Integer(required=True)
    hash = ma.fields.String(required=True)
    signature = ma.fields.String(required=True, allow_none=True)
    key_id = ma.fields.UUID(required=True, allow_none=True)
    at = ma.fields.AwareDateTime(required=True, allow_none=True)


class AuditKeySchema(ma.Schema):
    """The public half of a key that signs records."""

    key_id = ma.fields.UUID(required=True)
    public_key = ma.fields.String(required=True, metadata={"description": "Ed25519, 32 bytes in base64"})
    introduced_by = ma.fields.UUID(required=True, allow_none=True, metadata={"description": "null for the first"})
    at = ma.fields.AwareDateTime(required=True)
    signature = ma.fields.String(required=True, metadata={"description": "of the key that introduced it"})


class AuditKeysSchema(ma.Schema):
    """All keys, the first one first."""

    items = ma.fields.List(ma.fields.Nested(AuditKeySchema), required=True)


class Filters(ma.Schema):
    """What the audit is filtered by."""

    actor_id = Uuid()
    brand_id = Uuid()
    resource_id = Uuid()
    kind = Text()
    action = Text()


class AuditQuery(Filters, PageQuery):
    """Filters of the audit; the newest entries come first."""

    sort = Text(load_default="-at", validate=ma.validate.OneOf(list(ORDERS)))


class ExportQuery(Filters):
    """What to export, and how."""

    format = Text(load_default="jsonl", validate=ma.validate.OneOf(["jsonl", "csv"]))


def _own() -> list[Any]:
    """Return the condition that leaves only the actor's brands."""
    return [] if actor().brands is None else [TABLE.c.brand_id.in_(actor().brands or ())]


@blp.route("", endpoint="list")
@require("audit:read")
@blp.arguments(AuditQuery, location="query", unknown=ma.RAISE)
@errors(blp, 400, 422)
@blp.response(200, page_schema("Audit", AuditSchema))
@blp.doc(operationId="list_audit", summary="List the audit")
def list_(query: dict[str, Any]) -> Response:
    """Return a page of the audit; a brand's key sees what happened to its brands."""
    return listed(query, sa.select(*TABLE.c).where(*_own()), ORDERS, TABLE.c)


@blp.route("/head", endpoint="head")
@require("audit:read", every_brand=True)
@errors(blp, 422)
@blp.response(200, HeadSchema)
@blp.doc(operationId="get_audit_head", summary="Read where the chain ends")
def head() -> Response:
    """Return the newest record's place and proof: whoever keeps them notices if it is ever changed or cut off."""
    refuse_extras()
    newest = sa.select(HEAD.c.seq, HEAD.c.hash, TABLE.c.signature, TABLE.c.key_id, TABLE.c.at)
    with state().reader.connect() as connection:
        found = connection.execute(newest.join_from(HEAD, TABLE, TABLE.c.seq == HEAD.c.seq, isouter=True))
        return answer(dict(found.mappings().one()))


@blp.route("/keys", endpoint="keys")
@require("audit:read")
@errors(blp, 422)
@blp.response(200, AuditKeysSchema)
@blp.doc(operationId="list_audit_keys", summary="List the public keys that the audit is signed with")
def keys() -> Response:
    """Return all keys, those of former times too."""
    refuse_extras()
    with state().reader.connect() as connection:
        return answer(
            {"items": [dict(row) for row in connection.execute(sa.select(KEY).order_by(KEY.c.at)).mappings()]}
        )


@blp.route("/export", endpoint="export")
@require("audit:read")
@blp.arguments(ExportQuery, location="query", unknown=ma.RAISE)
@errors(blp, 422)
@blp.response(200, {"type": "string"}, content_type="application/jsonl")
@blp.doc(operationId="export_audit", summary="Export the audit as JSON lines or CSV")
def export(query: dict[str, Any]) -> Response:
    """Stream the audit: without filters and for a key of all brands, the whole chain with all that verifies it."""
    kind = query.pop("format")
    conditions = [*(TABLE.c[name] == value for name, value in query.items()), *_own()]
    engine = state().reader
    if kind == "csv":
        stream, mimetype = audit_export.comma_separated(engine, conditions), "text/csv"
    else:
        stream = audit_export.json_lines(engine, conditions, {name: str(value) for name, value in query.items()})
        mimetype = "application/jsonl"
    attachment = {"Content-Disposition": f'attachment; filename="audit.{kind}"'}
    return Response(stream, mimetype=mimetype, headers=attachment)
