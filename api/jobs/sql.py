"""The few statements that differ between PostgreSQL and SQLite."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from api.core.db import UtcDateTime, now

T = TypeVar("T")

#: Ids in one ``in (…)``; both databases accept far more, but a statement stays readable in a log.
CHUNK = 1000


def is_postgresql(session: Session) -> bool:
    """Tell whether rows can be locked; SQLite has one writer at a time instead."""
    return session.get_bind().dialect.name == "postgresql"


def insert(session: Session, table: Any) -> Any:
    """Return the dialect's insert, which knows ``on_conflict_do_…``."""
    return (postgresql.insert if is_postgresql(session) else sqlite.insert)(table)


def clock(session: Session, seconds: float = 0) -> Any:
    """Return the database's time plus ``seconds``, as an expression.

    Leases are compared on one clock, the database's, and on the time of the statement, not of the transaction.
    SQLite lives on one machine, so the application's clock is that clock.
    """
    if is_postgresql(session):
        return sa.cast(sa.func.clock_timestamp() + sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds), UtcDateTime())
    return sa.literal(now() + timedelta(seconds=seconds), UtcDateTime())


def read_clock(session: Session) -> datetime:
    """Return the database's time."""
    return cast(datetime, session.scalar(sa.select(clock(session))))


def chunks(values: Iterable[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """Cut values into lists of at most ``size``."""
    iterator = iter(values)
    while part := list(islice(iterator, size)):
        yield part
