"""The answers of views that only read rows: a page of them, or one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Response

from api.core.errors import not_found
from api.core.paging import Order, page
from api.core.state import reading
from api.core.wire import answer, refuse_extras

Dump = Callable[[dict[str, Any]], dict[str, Any]]


def listed(
    query: dict[str, Any], chosen: Any, order: Order | Mapping[str, Order], columns: Any, dump: Dump | None = None
) -> Response:
    """Answer with a page of the chosen rows.

    ``query`` holds the parameters as a ``PageQuery`` has loaded them; what is neither of the page nor ``sort`` (which
    picks one of several orders) is a filter: the value of the column of that name in ``columns``.
    """
    limit, cursor = query.pop("limit"), query.pop("cursor")
    if not isinstance(order, Order):
        order = order[query.pop("sort")]
    chosen = chosen.where(*(columns[name] == value for name, value in query.items()))
    with reading() as session:
        return answer(page(session, chosen, order, limit=limit, cursor=cursor, dump=dump))


def found(chosen: Any, dump: Dump | None = None) -> Response:
    """Answer with the only chosen row, or with 404; takes no parameters."""
    refuse_extras()
    with reading() as session:
        row = session.execute(chosen).mappings().first()
    if row is None:
        raise not_found()
    return answer(dump(dict(row)) if dump else dict(row))
