"""The routes of a kind, made from its declaration."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import cache
from typing import Any

import marshmallow as ma
import sqlalchemy as sa
from flask import Response, request

from api.auth.guard import actor, require
from api.core import service
from api.core.errors import not_found
from api.core.kind import Kind
from api.core.mutation import mutate
from api.core.paging import Order, PageQuery, page
from api.core.schema import create_schema, query_schema, update_schema, view_schema
from api.core.state import reading, state
from api.core.wire import Blueprint, answer, refuse_extras, refuse_parameters
from api.jobs import history
from api.notify.callbacks import called_back

IDEMPOTENCY = {
    "in": "header",
    "name": "Idempotency-Key",
    "schema": {"type": "string", "minLength": 1, "maxLength": 128},
    "description": "The same key with the same request is carried out once, for 24 hours.",
}
IF_MATCH = {
    "in": "header",
    "name": "If-Match",
    "schema": {"type": "string"},
    "description": "The ETag that was read; 412 if the resource changed since.",
}
CALLBACK: dict[str, Any] = {
    "in": "query",
    "name": "callback_url",
    "schema": {"type": "string", "format": "uri"},
    "description": "Is sent one signed POST when the resource has settled: active, suspended, failed or gone.",
}
CONFIRM: dict[str, Any] = {
    "in": "query",
    "name": "confirm",
    "schema": {"type": "string"},
    "description": "What the resource is called, to say that its data may go with it; 422 without.",
}
#: In the answer of what makes up a secret, unless the caller gave it.
SECRET = ma.fields.String(
    allow_none=True,
    metadata={"description": "Shown this once, if it was made up; null where an Idempotency-Key is repeated."},
)
ERRORS = {400: "BAD_REQUEST", 401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND", 409: "CONFLICT",
          412: "PRECONDITION_FAILED", 413: "REQUEST_ENTITY_TOO_LARGE", 415: "UNSUPPORTED_MEDIA_TYPE",
          422: "UNPROCESSABLE_ENTITY", 503: "SERVICE_UNAVAILABLE"}  # fmt: skip


class JobRef(ma.Schema):
    """A job that carries out a change."""

    id = ma.fields.UUID(required=True)
    state = ma.fields.String(required=True)
    shard_id = ma.fields.UUID(required=True, allow_none=True, metadata={"description": "null: a launch"})


def page_schema(name: str, item: type[ma.Schema]) -> type[ma.Schema]:
    """Return the schema of a list's page."""
    fields: dict[str, Any] = {
        "items": ma.fields.List(ma.fields.Nested(item), required=True),
        "next_cursor": ma.fields.String(required=True, allow_none=True),
        "has_more": ma.fields.Boolean(required=True),
    }
    return type(f"{name}Page", (ma.Schema,), fields)


def result_schema(name: str, item: type[ma.Schema], **extra: Any) -> type[ma.Schema]:
    """Return the schema of a mutation's answer."""
    fields: dict[str, Any] = {
        "resource": ma.fields.Nested(item, required=True),
        "jobs": ma.fields.List(ma.fields.Nested(JobRef), required=True),
    }
    return type(f"{name}Result", (ma.Schema,), {**fields, **extra})


def errors(blp: Blueprint, *statuses: int) -> Callable[[Any], Any]:
    """Document the errors of a view, in the envelope."""

    def decorate(view: Any) -> Any:
        for status in (401, 403, *statuses):
            view = blp.alt_response(status, ERRORS[status])(view)
        return view

    return decorate


#: verbs that are the same for every kind
GENERIC = {"retry": service.retry, "rotate": service.rotate}


@cache
def blueprint_for(kind: Kind) -> Blueprint:
    """Return the blueprint of a kind: list, create, read, change, delete, retry, rotate and its own actions."""
    blp = Blueprint(kind.plural, __name__, url_prefix=f"/{kind.plural}", description=kind.model.__doc__ or "")
    _reads(blp, kind)
    name, view = kind.model.__name__, view_schema(kind)
    result = result_schema(name, view)
    making = result_schema(f"{name}Secret", view, secret=SECRET) if kind.generated else result
    _creation(blp, kind, making)
    _writes(blp, kind, result)
    for action in kind.verbs:
        _action(blp, kind, action, making if action == "rotate" else result)
    return blp


def _reads(blp: Blueprint, kind: Kind) -> None:
    view = view_schema(kind)
    everything = sa.select(*service.shown(kind))
    one = everything.where(kind.model.__table__.c.id == sa.bindparam("id_"))
    scope = require(f"{kind.name}:read", every_brand=kind.needs_every_brand("read"))
    orders = orders_of(kind)

    @blp.route("", endpoint="list")
    @scope
    @blp.arguments(query_schema(kind, list(orders))(), location="query", unknown=ma.RAISE)
    @errors(blp, 400, 422)
    @blp.response(200, page_schema(kind.model.__name__, view))
    @blp.doc(
        operationId=f"list_{kind.plural.replace('-', '_')}", summary=f"List {kind.plural}", **{"x-kind": facts(kind)}
    )
    def list_(query: dict[str, Any]) -> Response:
        limit, cursor, search = query.pop("limit"), query.pop("cursor"), query.pop("search")
        # What a search finds lies together in the order of the title, and nowhere else.
        order = orders[query.pop("sort") or (kind.title if search else "created_at")]
        table = kind.model.__table__
        chosen = everything.where(*service.visible(kind, actor()))
        chosen = chosen.where(*(table.c[name] == value for name, value in query.items()))
        if search:
            # A range, and not LIKE: both databases serve it from the index, and nothing needs escaping.
            chosen = chosen.where(table.c[kind.title] >= search, table.c[kind.title] < search + "\U0010ffff")
        with reading() as session:
            found = page(session, chosen, order, limit=limit, cursor=cursor)
            kind.derive(session, found["items"])
            return answer(found)

    @blp.route("/<uuid:id>", endpoint="get")
    @scope
    @errors(blp, 404)
    @blp.response(200, view)
    @blp.doc(operationId=f"get_{kind.name}", summary=f"Read one {kind.name}")
    def get(id: uuid.UUID) -> Response:
        refuse_extras()
        query = one.where(*service.visible(kind, actor()))
        with state().reader.connect() as connection:
            found = connection.execute(query, {"id_": id}).mappings().first()
            if found is None:
                raise not_found()
            row = dict(found)
            kind.derive(connection, [row])
        return answer(row, 200, {"ETag": f'"{row["revision"]}"'})

    @blp.route("/<uuid:id>/history", endpoint="history")
    @scope
    @blp.arguments(PageQuery, location="query", unknown=ma.RAISE)
    @errors(blp, 400, 404, 422)
    @blp.response(200, page_schema(f"{kind.model.__name__}History", history.HistorySchema))
    @blp.doc(operationId=f"get_{kind.name}_history", summary=f"List the jobs that touched a {kind.name}")
    def past(query: dict[str, Any], id: uuid.UUID) -> Response:
        everybodys = actor().brands is None
        with reading() as session:
            seen = session.scalar(sa.select(kind.model.id).where(kind.model.id == id, *service.visible(kind, actor())))
            # What is gone has no brand by which it could be told whose it was.
            if seen is None and not (everybodys and history.is_known(session, kind, id)):
                raise not_found()
            return answer(history.history(session, kind, id, **query, reasons=everybodys))


def _creation(blp: Blueprint, kind: Kind, result: type[ma.Schema]) -> None:
    @blp.route("", methods=["POST"], endpoint="create")
    @require(f"{kind.name}:write", every_brand=kind.needs_every_brand("write"))
    @blp.arguments(create_schema(kind)())
    @errors(blp, 400, 404, 409, 413, 415, 422)
    @blp.response(202, result)
    @blp.doc(operationId=f"create_{kind.name}", summary=f"Create a {kind.name}", parameters=[IDEMPOTENCY, CALLBACK])
    def create(body: dict[str, Any]) -> Response:
        refuse_parameters(CALLBACK["name"])
        return mutate("create", called_back(lambda session: service.create(session, kind, body, actor())))


def _writes(blp: Blueprint, kind: Kind, result: type[ma.Schema]) -> None:
    @blp.route("/<uuid:id>", methods=["PATCH"], endpoint="update")
    @require(f"{kind.name}:write", every_brand=kind.needs_every_brand("write"))
    @blp.arguments(update_schema(kind)())
    @errors(blp, 400, 404, 409, 412, 413, 415, 422)
    @blp.response(202, result)
    @blp.doc(
        operationId=f"update_{kind.name}",
        summary=f"Change a {kind.name}",
        parameters=[IDEMPOTENCY, IF_MATCH, CALLBACK],
    )
    def update(body: dict[str, Any], id: uuid.UUID) -> Response:
        refuse_parameters(CALLBACK["name"])
        return mutate("update", called_back(lambda session: service.update(session, kind, id, body, actor())))

    confirm = [CONFIRM] if kind.confirm else []

    @blp.route("/<uuid:id>", methods=["DELETE"], endpoint="delete")
    @require(f"{kind.name}:delete", every_brand=kind.needs_every_brand("delete"))
    @errors(blp, 404, 409, 412, 422)
    @blp.response(202, result)
    @blp.doc(
        operationId=f"delete_{kind.name}",
        summary=f"Delete a {kind.name}",
        parameters=[IDEMPOTENCY, IF_MATCH, CALLBACK, *confirm],
    )
    def delete(id: uuid.UUID) -> Response:
        refuse_extras(*(parameter["name"] for parameter in [CALLBACK, *confirm]))
        confirmed = request.args.get("confirm")
        return mutate("delete", called_back(lambda session: service.delete(session, kind, id, actor(), confirmed)))


def _action(blp: Blueprint, kind: Kind, action: str, result: type[ma.Schema]) -> None:
    @blp.route(f"/<uuid:id>/{action}", methods=["POST"], endpoint=action)
    @require(f"{kind.name}:{action}", every_brand=kind.needs_every_brand(action))
    @errors(blp, 404, 409, 412, 422)
    @blp.response(202, result)
    @blp.doc(
        operationId=f"{action}_{kind.name}",
        summary=f"{action.capitalize()} a {kind.name}",
        parameters=[IDEMPOTENCY, IF_MATCH, CALLBACK],
    )
    def act(id: uuid.UUID) -> Response:
        refuse_extras(CALLBACK["name"])
        if action in GENERIC:
            return mutate(action, called_back(lambda session: GENERIC[action](session, kind, id, actor())))
        return mutate(action, called_back(lambda session: service.act(session, kind, action, id, actor())))


def facts(kind: Kind) -> dict[str, Any]:
    """Return what a generic client must know of a kind and cannot read from its schemas."""
    return {"name": kind.name, "title": kind.title, "parent": kind.parent, "identity": list(kind.identity)}


def orders_of(kind: Kind) -> dict[str, Order]:
    """Return the orders of a kind's list by the value of ``sort``."""
    table = kind.model.__table__
    found = {}
    for name in kind.sorts:
        columns = [table.c[name]] if table.c[name].unique else [table.c[name], table.c.id]
        for descending in (False, True):
            order = Order(name, columns, descending)
            found[order.name] = order
    return found
