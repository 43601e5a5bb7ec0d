"""Moves.

copying ──► switched ──► confirming ──► confirmed      in service at the target; the old copy stays until confirmed
   │  ▲         ▲────────────┘ (it could not be dropped)
   ▼  │ retry
failed, canceled                                       in service at the source, as before
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from api.core.db import Base, Id, JsonObject, now

STATES = ("copying", "switched", "confirming", "confirmed", "failed", "canceled")
#: A second copy of the resource is somewhere.
OPEN = ("copying", "switched", "confirming")
LIVE = "state = 'copying'"


class Move(Base):
    """A resource on its way to another shard, and what became of that."""

    __tablename__ = "move"

    id: Mapped[Id]
    kind: Mapped[str] = mapped_column(sa.String(32))
    resource_id: Mapped[uuid.UUID]
    #: title of the resource
    name: Mapped[str] = mapped_column(sa.String(253))
    brand_id: Mapped[uuid.UUID | None]
    source_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("shard.id", ondelete="CASCADE"))
    target_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("shard.id", ondelete="CASCADE"))
    #: of the nodes between which it goes
    source_address: Mapped[str] = mapped_column(sa.String(253), default="")
    target_address: Mapped[str] = mapped_column(sa.String(253), default="")
    #: seconds for which writes may wait
    lock_seconds: Mapped[int] = mapped_column(default=60)
    state: Mapped[str] = mapped_column(sa.String(16), default="copying")
    #: why it failed, for people
    message: Mapped[str] = mapped_column(sa.Text, default="")
    #: the run that copies, and the one that drops the old copy
    job_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("job.id", ondelete="SET NULL"))
    drop_job_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("job.id", ondelete="SET NULL"))
    #: what the run said last of how far it was, and what it told in the end
    progress: Mapped[dict[str, Any]] = mapped_column(JsonObject, default=dict)
    result: Mapped[dict[str, Any]] = mapped_column(JsonObject, default=dict)
    requested_by: Mapped[str] = mapped_column(sa.String(128), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    switched_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]

    __table_args__ = (
        sa.Index(
            "uq_move_live",
            "kind",
            "resource_id",
            unique=True,
            sqlite_where=sa.text(LIVE),
            postgresql_where=sa.text(LIVE),
        ),
        sa.Index(None, "created_at", "id"),
        sa.Index(None, "resource_id", "state"),
        sa.Index(None, "job_id"),
        sa.Index(None, "drop_job_id"),
    )
