"""Keyset paging: ``{items, next_cursor, has_more}``, never an offset, never a count."""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import marshmallow as ma
import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.db import UtcDateTime
from api.core.errors import ApiError
from api.core.fields import Text, Whole

LIMIT = 50
LIMIT_MOST = 200
Column = sa.ColumnElement[Any]


class PageQuery(ma.Schema):
    """Parameters of every list; a list with filters adds them."""

    limit = Whole(
        load_default=LIMIT,
        validate=ma.validate.Range(1, LIMIT_MOST),
        metadata={"description": "items of one page"},
    )
    cursor = Text(load_default=None, metadata={"description": "`next_cursor` of the page before"})


class Order:
    """A way to sort: the columns, the last of which is unique, and the direction. ``name`` stands in the cursor."""

    def __init__(self, name: str, columns: Sequence[Any], descending: bool = False) -> None:
        self.name = ("-" if descending else "") + name
        self.columns = list(columns)
        self.descending = descending

    def apply(self, query: Any, cursor: str | None) -> Any:
        """Return the query, sorted and behind the cursor; 400 for a cursor that is not of this order."""
        if cursor:
            values = self._decode(cursor)
            mine: Any = sa.tuple_(*self.columns) if len(self.columns) > 1 else self.columns[0]
            types = [column.type for column in self.columns]
            theirs: Any = sa.tuple_(*values, types=types) if len(values) > 1 else values[0]
            query = query.where(mine < theirs if self.descending else mine > theirs)
        return query.order_by(*(column.desc() if self.descending else column.asc() for column in self.columns))

    def encode(self, row: Any) -> str:
        """Return the cursor behind a row (a mapping by column key)."""
        values = [row[column.key] for column in self.columns]
        plain = [value.isoformat() if isinstance(value, datetime) else str(value) for value in values]
        return base64.urlsafe_b64encode(json.dumps([self.name, *plain]).encode()).decode().rstrip("=")

    def _decode(self, cursor: str) -> list[Any]:
        try:
            name, *plain = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
            if name != self.name or len(plain) != len(self.columns):
                raise ValueError
            return [_parse(column, value) for column, value in zip(self.columns, plain, strict=True)]
        except (ValueError, TypeError, OverflowError, binascii.Error, RecursionError):
            reason = "is not the cursor of a page of this list in this order"
            raise ApiError(400, "The cursor is not valid.", details={"query": {"cursor": [reason]}}) from None


def _parse(column: Any, value: Any) -> Any:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    value.encode()  # a lone surrogate is a UnicodeEncodeError, which is a ValueError
    if isinstance(column.type, UtcDateTime):
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError
        return moment.astimezone(UTC)
    kind = column.type.python_type
    return kind(value) if kind in (uuid.UUID, int) else value


def page(
    session: Session,
    query: Any,
    order: Order,
    *,
    limit: int,
    cursor: str | None,
    dump: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return a page of a query on columns; ``dump`` makes an item of a row as a dict."""
    result = session.execute(order.apply(query, cursor).limit(limit + 1))
    keys = list(result.keys())
    rows = [dict(zip(keys, row, strict=True)) for row in result.all()]
    more = len(rows) > limit
    rows = rows[:limit]
    return {
        "items": [dump(row) for row in rows] if dump else rows,
        "next_cursor": order.encode(rows[-1]) if more else None,
        "has_more": more,
    }
