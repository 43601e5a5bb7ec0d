"""A point: what a resource used at a time."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from api.core.db import Base, JsonObject

#: Points that are kept: all, the first of each hour, the first of each day; and for how long.
EVERY, HOURLY, DAILY = 0, 1, 2
KEPT = {EVERY: timedelta(days=2), HOURLY: timedelta(days=30), DAILY: timedelta(days=400)}
#: up; a copy that follows another; not running because its tenant is suspended; it should run and does not answer
STATES = ("up", "replica", "suspended", "down")


class Point(Base):
    """What a resource used when its hosts were asked; kept as long as its span is, whatever becomes of the resource."""

    __tablename__ = "usage"

    kind: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    resource_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    span: Mapped[int] = mapped_column(sa.SmallInteger)
    state: Mapped[str] = mapped_column(sa.String(16))
    #: fields of the kind's ``Usage``, as far as they were told
    numbers: Mapped[dict[str, Any]] = mapped_column(JsonObject)

    __table_args__ = (sa.Index(None, "span", "at"),)
