"""Plans, and drift.

planning ──► ready ──► approved ──► applying ──► applied    the run took place; its job tells how it ended
   │           │           ▲───────────┴───────► stale      something moved, and nothing was done
   └► failed   ├► rejected (the job was canceled or lost before the run began)
               └► stale (a newer plan of the same origin)
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from api.core.db import Base, Id, JsonList, JsonObjects, now

STATES = ("planning", "ready", "failed", "approved", "rejected", "applying", "applied", "stale")
#: Who asked: somebody, a schedule, or the search for drift.
ORIGINS = ("request", "schedule", "drift")
#: What an approval binds to. If one of them moves, the plan cannot be applied any longer.
PARTS = ("generations", "revision", "inventory", "prediction")


class Plan(Base):
    """What a run would change, as a check-mode run found it, and what became of it."""

    __tablename__ = "plan"

    id: Mapped[Id]
    #: one of the two; null too if that is gone
    shard_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("shard.id", ondelete="CASCADE"))
    template_id: Mapped[uuid.UUID | None]
    #: name of the shard or of the template, at that time
    subject: Mapped[str] = mapped_column(sa.String(253))
    origin: Mapped[str] = mapped_column(sa.String(16), default="request")
    schedule_id: Mapped[uuid.UUID | None]
    state: Mapped[str] = mapped_column(sa.String(16), default="planning")
    #: why it failed or is stale, for people, and which of PARTS moved
    message: Mapped[str] = mapped_column(sa.Text, default="")
    moved: Mapped[list[str]] = mapped_column(JsonList, default=list)
    #: who asked for it must not approve it
    others: Mapped[bool] = mapped_column(default=False)
    #: the job that checked, and the one that applied
    job_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("job.id", ondelete="SET NULL"))
    apply_job_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("job.id", ondelete="SET NULL"))
    #: SHA-256 over PARTS, and those; empty until it is ready
    hash: Mapped[str] = mapped_column(sa.String(64), default="")
    generations: Mapped[str] = mapped_column(sa.String(64), default="")
    revision: Mapped[str] = mapped_column(sa.String(64), default="")
    inventory: Mapped[str] = mapped_column(sa.String(64), default="")
    prediction: Mapped[str] = mapped_column(sa.String(64), default="")
    #: the hosts that were asked
    hosts: Mapped[list[str]] = mapped_column(JsonList, default=list)
    #: entries of ``api.plan.prediction``, as far as they have room; ``total`` counts all of them
    changes: Mapped[list[dict[str, Any]]] = mapped_column(JsonObjects, default=list)
    total: Mapped[int] = mapped_column(default=0)
    cut: Mapped[bool] = mapped_column(default=False)
    #: names and ids of API keys; a schedule and the search for drift have no id
    requested_by: Mapped[str] = mapped_column(sa.String(128), default="")
    requested_key: Mapped[uuid.UUID | None]
    decided_by: Mapped[str] = mapped_column(sa.String(128), default="")
    decided_key: Mapped[uuid.UUID | None]
    comment: Mapped[str] = mapped_column(sa.Text, default="")
    applied_by: Mapped[str] = mapped_column(sa.String(128), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    ready_at: Mapped[datetime | None]
    decided_at: Mapped[datetime | None]
    applied_at: Mapped[datetime | None]

    __table_args__ = (
        sa.Index(None, "created_at", "id"),
        sa.Index(None, "shard_id", "state"),
        sa.Index(None, "job_id"),
        sa.Index(None, "apply_job_id"),
    )


class Drift(Base):
    """Something on a host that is not as it was made; gone when a later look finds it as it should be."""

    __tablename__ = "drift"

    id: Mapped[Id]
    shard_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("shard.id", ondelete="CASCADE"))
    node_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("node.id", ondelete="CASCADE"))
    host: Mapped[str] = mapped_column(sa.String(64))
    #: what differs, within a host: a resource, or without one a task of the role or a thing that is in no list
    key: Mapped[str] = mapped_column(sa.String(300))
    kind: Mapped[str] = mapped_column(sa.String(32), default="")
    resource_id: Mapped[uuid.UUID | None]
    #: title of the resource, name of the thing, or of the task
    name: Mapped[str] = mapped_column(sa.String(300))
    task: Mapped[str] = mapped_column(sa.String(300))
    message: Mapped[str] = mapped_column(sa.Text, default="")
    #: [{what, before, after}]; before is what is there
    diff: Mapped[list[dict[str, Any]]] = mapped_column(JsonObjects, default=list)
    first_seen: Mapped[datetime] = mapped_column(default=now)
    last_seen: Mapped[datetime] = mapped_column(default=now)
    #: the job that saw it last
    job_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("job.id", ondelete="SET NULL"))

    __table_args__ = (
        sa.UniqueConstraint("node_id", "key"),
        sa.Index(None, "first_seen", "id"),
        sa.Index(None, "shard_id"),
        sa.Index(None, "kind", "resource_id"),
    )
