"""What the routes of every kind do to a row, within the transaction of a mutation."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from flask import request
from sqlalchemy.orm import Session, object_session
from sqlalchemy.sql.schema import CallableColumnDefault, ScalarElementColumnDefault

from api.auth.keys import Actor
from api.core import audit, shown_once
from api.core.db import JsonList, JsonMap, JsonObject, JsonObjects, keep
from api.core.errors import ApiError, conflict, invalid, not_found
from api.core.kind import Also, Kind, nowhere, registry
from api.core.mutation import Outcome
from api.core.schema import columns_of, is_read_only
from api.jobs import dispatch
from api.moves.start import must_stay

#: Types whose default is a new, empty value.
EMPTY = (JsonList, JsonMap, JsonObject, JsonObjects)


def shown(kind: Kind) -> list[sa.Column[Any]]:
    """Return the columns that answers hold: all but secrets."""
    return [column for column in columns_of(kind.model) if not column.info.get("secret")]


def resource_of(kind: Kind, row: Any) -> dict[str, Any]:
    """Return a row of a session as answers hold it."""
    resource = {column.key: getattr(row, column.key) for column in shown(kind)}
    kind.derive(object_session(row), [resource])
    return resource


def visible(kind: Kind, who: Actor) -> list[Any]:
    """Return the conditions that leave only the actor's own rows."""
    if who.brands is None or kind.brand is None:
        return []
    return [kind.model.__table__.c[kind.brand].in_(who.brands)]


def find(session: Session, kind: Kind, id_: uuid.UUID, who: Actor) -> Any:
    """Return a row, locked against other writers; 404 if it is absent or not the actor's."""
    query = sa.select(kind.model).where(kind.model.id == id_, *visible(kind, who)).with_for_update(of=kind.model)
    row = session.scalar(query)
    if row is None:
        raise not_found()
    if request.if_match and not request.if_match.contains(str(row.revision)):
        raise ApiError(412, "This was changed since you read it.", code="PRECONDITION_FAILED")
    return row


def create(session: Session, kind: Kind, values: dict[str, Any], who: Actor) -> Outcome:
    """Create a row and deliver it."""
    row = kind.model(**{**_defaults(kind), **values})
    _adopt(session, kind, row, values, who)
    once = shown_once.fill(kind, row)
    kind.validate(session, row)
    session.add(row)
    session.flush()
    jobs = [*kind.after_change(session, row), *dispatch.deliver(session, kind, row)]
    return _outcome(kind, row, jobs, None, audit.snapshot(row), once=once)


def _defaults(kind: Kind) -> dict[str, Any]:
    """Return the plain defaults of a kind: hooks see a row as it will be stored."""
    found = {}
    for column in columns_of(kind.model):
        if isinstance(column.default, ScalarElementColumnDefault):
            found[column.key] = column.default.arg
        elif isinstance(column.type, EMPTY) and isinstance(column.default, CallableColumnDefault):
            found[column.key] = column.default.arg(None)  # type: ignore[arg-type]
    return found


def update(session: Session, kind: Kind, id_: uuid.UUID, values: dict[str, Any], who: Actor) -> Outcome:
    """Change a row and deliver it; a change to what already stands changes nothing."""
    row = find(session, kind, id_, who)
    _must_stay(row)
    for name, value in values.items():
        if getattr(row, name) != value:
            setattr(row, name, value)
    return _changed(session, kind, row, [])


def act(session: Session, kind: Kind, action: str, id_: uuid.UUID, who: Actor) -> Outcome:
    """Carry out one of a kind's own actions."""
    row = find(session, kind, id_, who)
    _must_stay(row)
    return _changed(session, kind, row, kind.actions[action](session, row))


def rotate(session: Session, kind: Kind, id_: uuid.UUID, who: Actor) -> Outcome:
    """Give a row a new secret, which only this answer shows."""
    row = find(session, kind, id_, who)
    _must_stay(row)
    once = shown_once.renew(kind, row)
    return _changed(session, kind, row, [], once)


def delete(session: Session, kind: Kind, id_: uuid.UUID, who: Actor, confirm: str | None = None) -> Outcome:
    """Wish a row gone. Its hosts undo it first; asked again, what failed is tried again."""
    row = find(session, kind, id_, who)
    if kind.confirm and confirm != getattr(row, kind.title):
        raise invalid("confirm", f"must be the {kind.title} of what is deleted: data goes with it", where="query")
    if row.delete_requested:
        return _outcome(kind, row, dispatch.retry(session, kind, row), {}, {})
    kind.before_delete(session, row)
    must_stay(session, kind, row)
    _must_be_empty(session, kind, row)
    before = audit.snapshot(row)
    row.delete_requested = True
    row.generation += 1
    session.flush()
    jobs = [*kind.after_change(session, row), *dispatch.deliver(session, kind, row)]
    return _outcome(kind, row, jobs, before, None)


def retry(session: Session, kind: Kind, id_: uuid.UUID, who: Actor) -> Outcome:
    """Try again what failed, and only that."""
    row = find(session, kind, id_, who)
    return _outcome(kind, row, dispatch.retry(session, kind, row), {}, {})


def _changed(
    session: Session, kind: Kind, row: Any, also: Iterable[Also], once: dict[str, Any] | None = None
) -> Outcome:
    if not session.is_modified(row):
        return _outcome(kind, row, [], {}, {})
    with session.no_autoflush:
        kind.validate(session, row)
    row.generation += 1
    before, after = audit.changes(row)
    session.flush()
    jobs = [*kind.after_change(session, row), *dispatch.deliver(session, kind, row)]
    for other, query in also:
        jobs += dispatch.deliver_many(session, other, session.scalars(query))
    return _outcome(kind, row, jobs, before, after, once=once)


def _outcome(
    kind: Kind, row: Any, jobs: Iterable[Any], before: Any, after: Any, *, once: dict[str, Any] | None = None
) -> Outcome:
    resource = resource_of(kind, row)
    if sa.inspect(row).deleted:
        resource["status"] = "deleted"
    return Outcome(
        kind.name,
        row.id,
        resource,
        jobs=list({job.id: job for job in jobs}.values()),
        brand_id=getattr(row, kind.brand) if kind.brand else None,
        before=before,
        after=after,
        once=once or {},
        headers={"ETag": f'"{row.revision}"'},
    )


def _must_stay(row: Any) -> None:
    if row.delete_requested:
        raise conflict("This is being deleted.")


def references(kind: Kind) -> Iterator[tuple[sa.Column[Any], Kind]]:
    """Yield the columns that callers set to another kind's id, with that kind."""
    for column in columns_of(kind.model):
        for key in column.foreign_keys:
            if not is_read_only(column):
                yield column, registry[key.column.table.name]


def _adopt(session: Session, kind: Kind, row: Any, values: dict[str, Any], who: Actor) -> None:
    """Find what the row refers to, keep it from being deleted meanwhile, and take the brand from the parent."""
    for column, target in references(kind):
        if values.get(column.key) is None:
            continue
        query = sa.select(target.model).where(target.model.id == values[column.key], *visible(target, who))
        # Weaker than a deletion's lock and stronger than nothing: reports on the parent still get through.
        parent = session.scalar(query.with_for_update(read=True, key_share=True, of=target.model))
        if parent is None:
            raise not_found(column.key, f"There is no such {target.name}.")
        keep(session, parent)
        if parent.delete_requested:
            raise conflict(f"The {target.name} is being deleted.", column.key, "is being deleted")
        if column.key == kind.parent and kind.brand and target.name != "brand":
            row.brand_id = parent.brand_id


def _must_be_empty(session: Session, kind: Kind, row: Any) -> None:
    """Refuse the deletion of what others still need, naming the kinds; a row's own parts go with it.

    What hosts carry waits for its children that are being deleted; what is only a row would be gone at once.
    """
    left = []
    for other in registry:
        for column in columns_of(other.model):
            for key in column.foreign_keys:
                if key.column.table is not kind.model.__table__ or key.ondelete or other.name in kind.takes_along:
                    continue
                query = sa.select(other.model.id).where(column == row.id)
                if kind.shards is not nowhere:
                    query = query.where(other.model.delete_requested.is_(False))
                if session.scalar(query.limit(1)) is not None:
                    left.append(other.plural)
    if left:
        raise ApiError(409, f"This {kind.name} still has {', '.join(left)}; delete them first.", details={"has": left})
