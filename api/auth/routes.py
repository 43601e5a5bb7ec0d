"""``/api-keys``: issue, list and revoke keys."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import marshmallow as ma
import sqlalchemy as sa
from flask import Response, current_app
from sqlalchemy.orm import Session

from api.auth.guard import actor, require
from api.auth.keys import issue
from api.auth.models import ApiKey
from api.auth.scopes import expand
from api.core.db import now
from api.core.errors import ApiError, invalid, not_found
from api.core.fields import Text
from api.core.kind import registry
from api.core.mutation import Outcome, mutate
from api.core.paging import Order, PageQuery
from api.core.reads import found, listed
from api.core.routes import IDEMPOTENCY, errors, page_schema, result_schema
from api.core.wire import Blueprint, refuse_extras

blp = Blueprint("api-keys", __name__, url_prefix="/api-keys", description="Keys of portals and people.")

TABLE = ApiKey.__table__
COLUMNS = [column for column in TABLE.c if column.key != "hash"]
ORDER = Order("created_at", [TABLE.c.created_at, TABLE.c.id], descending=True)


class ApiKeySchema(ma.Schema):
    """A key without its secret."""

    id = ma.fields.UUID(required=True)
    name = ma.fields.String(required=True)
    prefix = ma.fields.String(required=True)
    scopes = ma.fields.List(ma.fields.String(), required=True)
    brands = ma.fields.List(ma.fields.String(), required=True)
    created_by = ma.fields.UUID(required=True, allow_none=True)
    created_at = ma.fields.AwareDateTime(required=True)
    expires_at = ma.fields.AwareDateTime(required=True, allow_none=True)
    revoked_at = ma.fields.AwareDateTime(required=True, allow_none=True)
    last_used_at = ma.fields.AwareDateTime(required=True, allow_none=True)


class ApiKeyCreate(ma.Schema):
    """A key to be made."""

    class Meta:
        """Nothing that a caller sent is dropped in silence."""

        unknown = ma.RAISE

    name = Text(required=True, validate=ma.validate.Regexp(r"[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}\Z"))
    scopes = ma.fields.List(
        Text(validate=ma.validate.Length(1, 64)),
        required=True,
        validate=ma.validate.Length(1, 200),
        metadata={"example": ["tenant:*", "*:read"], "description": "Wildcards are expanded now, not later."},
    )
    brands = ma.fields.List(
        Text(validate=ma.validate.Length(1, 36)),
        required=True,
        validate=ma.validate.Length(1, 200),
        metadata={"description": "ids of brands, or * alone"},
    )
    expires_at = ma.fields.AwareDateTime(load_default=None, allow_none=True)


def _dump(row: ApiKey) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in COLUMNS}


@blp.route("", methods=["POST"], endpoint="create")
@require("api_key:write")
@blp.arguments(ApiKeyCreate)
@errors(blp, 400, 404, 409, 413, 415, 422)
@blp.response(202, result_schema("NewKey", ApiKeySchema, secret=ma.fields.String(required=True, allow_none=True)))
@blp.doc(operationId="create_api_key", summary="Issue a key; it is shown once", parameters=[IDEMPOTENCY])
def create(body: dict[str, Any]) -> Response:
    """Issue a key that may do no more than the asking one."""
    scopes = _scopes(body["scopes"])

    def work(session: Session) -> Outcome:
        row, token = issue(
            session,
            body["name"],
            scopes,
            _brands(session, body["brands"]),
            expires_at=_future(body["expires_at"]),
            created_by=actor().id,
        )
        shown = {key: row.__dict__[key] for key in ("name", "prefix", "scopes", "brands")}
        return Outcome("api_key", row.id, _dump(row), after=shown, once={"secret": token}, brand_id=_only(row.brands))

    return mutate("create", work)


@blp.route("", endpoint="list")
@require("api_key:read")
@blp.arguments(PageQuery, location="query", unknown=ma.RAISE)
@errors(blp, 400, 422)
@blp.response(200, page_schema("ApiKey", ApiKeySchema))
@blp.doc(operationId="list_api_keys", summary="List keys, the newest first")
def list_(query: dict[str, Any]) -> Response:
    """Return a page of the keys: all of them, or those that the asking one issued, and itself."""
    return listed(query, sa.select(*COLUMNS).where(*_mine()), ORDER, TABLE.c)


@blp.route("/<uuid:id>", endpoint="get")
@require("api_key:read")
@errors(blp, 404)
@blp.response(200, ApiKeySchema)
@blp.doc(operationId="get_api_key", summary="Read one key, without its secret")
def get(id: uuid.UUID) -> Response:
    """Return a key."""
    return found(sa.select(*COLUMNS).where(TABLE.c.id == id, *_mine()))


@blp.route("/<uuid:id>", methods=["DELETE"], endpoint="delete")
@require("api_key:delete")
@errors(blp, 404, 409, 422)
@blp.response(202, result_schema("RevokedKey", ApiKeySchema))
@blp.doc(operationId="delete_api_key", summary="Revoke a key", parameters=[IDEMPOTENCY])
def delete(id: uuid.UUID) -> Response:
    """Revoke a key: at once here, within seconds in the other processes. Its row stays for the audit."""
    refuse_extras()

    def work(session: Session) -> Outcome:
        row = session.scalar(sa.select(ApiKey).where(ApiKey.id == id, *_mine()).with_for_update())
        if row is None:
            raise not_found()
        row.revoked_at = row.revoked_at or now()
        return Outcome("api_key", row.id, _dump(row), before={}, after={}, brand_id=_only(row.brands))

    response = mutate("delete", work)
    current_app.extensions["keyring"].forget()
    return response


def _mine() -> list[Any]:
    """Return the conditions for the keys that the actor may see."""
    if actor().brands is None:
        return []
    return [sa.or_(TABLE.c.created_by == actor().id, TABLE.c.id == actor().id)]


def _only(brands: list[str]) -> uuid.UUID | None:
    return uuid.UUID(brands[0]) if len(brands) == 1 and brands != ["*"] else None


def _scopes(wanted: list[str]) -> list[str]:
    try:
        scopes = expand(wanted)
    except ValueError as error:
        raise invalid("scopes", str(error)) from None
    # A wildcard means all that the asking key may do; a scope by name must be one of its own.
    missing = [scope for scope in wanted if "*" not in scope and scope not in actor().scopes]
    scopes = [scope for scope in scopes if scope in actor().scopes]
    if missing or not scopes:
        raise ApiError(403, "A key cannot grant more than it has.", details={"json": {"scopes": missing or wanted}})
    return scopes


def _brands(session: Session, wanted: list[str]) -> list[str]:
    if "*" in wanted:
        if wanted != ["*"]:
            raise invalid("brands", "* stands alone")
        if actor().brands is not None:
            raise ApiError(403, "A key cannot grant more than it has.", details={"json": {"brands": ["*"]}})
        return wanted
    model = registry["brand"].model
    found = []
    for text in wanted:
        try:
            brand = uuid.UUID(text)
        except ValueError:
            raise invalid("brands", f"{text} is neither a brand's id nor *") from None
        if not actor().may_see(brand) or session.get(model, brand) is None:
            raise not_found("brands", "There is no such brand.")
        found.append(str(brand))
    return found


def _future(moment: datetime | None) -> datetime | None:
    limit = actor().expires_at
    if moment is not None and moment <= now():
        raise invalid("expires_at", "must lie in the future")
    if limit is not None and (moment is None or moment > limit):
        raise invalid("expires_at", "must not be after the expiry of the key that asks")
    return moment
