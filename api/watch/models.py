"""What the watch knows of a db shard: one row each."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from api.core.db import Base, JsonList, JsonObjects, now

#: ``down``: no server takes writes. ``unknown``: no node answers, or nobody has looked yet.
STATES = ("healthy", "degraded", "down", "unknown")


class ShardHealth(Base):
    """The last look at a shard. Times are the database's."""

    __tablename__ = "shard_health"

    shard_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("shard.id", ondelete="CASCADE"), primary_key=True)
    state: Mapped[str] = mapped_column(sa.String(16), default="unknown")
    since: Mapped[datetime] = mapped_column(default=now)
    #: the state that was announced last; empty: none was
    told: Mapped[str] = mapped_column(sa.String(16), default="")
    #: for people
    problems: Mapped[list[str]] = mapped_column(JsonList, default=list)
    #: per node ``{node_id, name, address, is_primary, answered_at, answer}``; ``answer`` is ``answers.AnswerSchema``
    nodes: Mapped[list[dict[str, Any]]] = mapped_column(JsonObjects, default=list)
    looked_at: Mapped[datetime | None]
    #: whoever moves it on has the next look
    next_at: Mapped[datetime] = mapped_column(default=now)
    #: when a replica was last known to have all that the primary had acknowledged; null: that is not known
    covered_at: Mapped[datetime | None]
    #: since when both observers have been agreeing that the primary is gone
    gone_since: Mapped[datetime | None]
    #: why no replica is promoted automatically until somebody has looked; empty: it may be
    halted: Mapped[str] = mapped_column(sa.Text, default="")

    __table_args__ = (sa.Index(None, "next_at"),)
