"""Counters that never go back."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.core.db import Base, insert


class Counter(Base):
    """The last number given under a name."""

    __tablename__ = "counter"

    name: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    value: Mapped[int]


def following(session: Session, name: str, first: int) -> int:
    """Return the next number of a counter, ``first`` at its start; others wait until this transaction ends."""
    statement = insert(session, Counter).values(name=name, value=first)
    statement = statement.on_conflict_do_update(index_elements=["name"], set_={"value": Counter.value + 1})
    return int(session.scalars(statement.returning(Counter.value)).one())
