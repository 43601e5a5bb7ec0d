"""Tables of the job engine.

A *job* is one run of a playbook for a shard and also the row in which the wish for that run waits.
A *delivery* is what one node still has to carry of one resource; a settled delivery is deleted, so the table stays as
small as the work that is left.

    queued ──► running ──► successful | failed(reason) | canceled
       │         └───────► abandoned                      its lease ran out; its deliveries are pending again
       └─────────────────► canceled
"""

from __future__ import annotations

import uuid
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from api.core.db import Base, Id, JsonList, now

#: The one queued job of a shard in which wishes gather.
GATHERS = "state = 'queued' and purpose = ''"

#: The purpose of an operation that only reads.
READ = "read"


class Job(Base):
    """One run: for a shard, or without one a launch (``api.launch.models``)."""

    __tablename__ = "job"

    id: Mapped[Id]
    shard_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("shard.id", ondelete="CASCADE"))
    #: or the module of an ad-hoc run
    playbook: Mapped[str] = mapped_column(sa.String(200), default="converge.yml")
    #: everything of the shard with purge, not only what is pending
    full: Mapped[bool] = mapped_column(default=False)
    #: empty: makes hosts as wished; check: only predicts; apply: carries out an approved plan (``api.plan``);
    #: read: an operation that only reads
    purpose: Mapped[str] = mapped_column(sa.String(8), default="", server_default="")
    state: Mapped[str] = mapped_column(sa.String(16), default="queued")
    reason: Mapped[str] = mapped_column(sa.Text, default="")
    #: messages sent to the queue so far; part of the queue's id, which must not repeat
    published: Mapped[int] = mapped_column(default=0)
    published_at: Mapped[datetime | None]
    worker: Mapped[str] = mapped_column(sa.String(128), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    #: a running job ends when its worker has seen this
    cancel_requested_at: Mapped[datetime | None]
    #: name of the API key that canceled it
    canceled_by: Mapped[str] = mapped_column(sa.String(128), default="")
    #: where the audit ended when the job was taken, ``seq:hash``; hosts note it
    audit_head: Mapped[str] = mapped_column(sa.String(84), default="", server_default="")
    #: resources that the run carried, and how many of them changed or failed (counted per resource and host)
    resources: Mapped[int] = mapped_column(default=0)
    changed: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    #: the event file: could not be written, was cut at its bounds, and its SHA-256 in hex
    events_lost: Mapped[bool] = mapped_column(default=False)
    truncated: Mapped[bool] = mapped_column(default=False)
    events_sha256: Mapped[str] = mapped_column(sa.String(64), default="")

    __table_args__ = (
        sa.Index(
            "uq_job_queued_shard",
            "shard_id",
            unique=True,
            # Wishes gather in one job; those that check or apply a plan stand beside it.
            sqlite_where=sa.text(GATHERS),
            postgresql_where=sa.text(GATHERS),
        ),
        sa.Index(None, "state", "created_at"),
        sa.Index(None, "created_at", "id"),
    )


class Delivery(Base):
    """What a node has still to carry: one row per resource and node, of its newest generation."""

    __tablename__ = "delivery"

    kind: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    resource_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    node_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("node.id", ondelete="CASCADE"), primary_key=True)
    shard_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("shard.id", ondelete="CASCADE"))
    generation: Mapped[int]
    #: pending, running, failed
    state: Mapped[str] = mapped_column(sa.String(16), default="pending")
    job_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("job.id", ondelete="SET NULL"))
    message: Mapped[str] = mapped_column(sa.Text, default="")
    #: when the sweeper tries again (an unreachable host); null: only a retry or a change does
    retry_at: Mapped[datetime | None]
    tries: Mapped[int] = mapped_column(default=0)

    __table_args__ = (
        sa.Index(None, "shard_id", "state"),
        sa.Index(None, "job_id"),
        sa.Index(None, "retry_at"),
    )


class JobHost(Base):
    """What a run did on one host."""

    __tablename__ = "job_host"

    job_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    host: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    ok: Mapped[int] = mapped_column(default=0)
    changed: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    skipped: Mapped[int] = mapped_column(default=0)
    unreachable: Mapped[bool] = mapped_column(default=False)
    seconds: Mapped[float] = mapped_column(default=0.0)
    message: Mapped[str] = mapped_column(sa.Text, default="")

    __table_args__ = (sa.Index(None, "host"),)


class JobResource(Base):
    """What a run did to one resource on one host."""

    __tablename__ = "job_resource"

    job_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    resource_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    host: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    generation: Mapped[int]
    changed: Mapped[bool] = mapped_column(default=False)
    failed: Mapped[bool] = mapped_column(default=False)
    message: Mapped[str] = mapped_column(sa.Text, default="")
    #: [{what, before, after}] of files and records; null if nothing was told
    diff: Mapped[list[dict[str, str]] | None] = mapped_column(JsonList)

    __table_args__ = (sa.Index(None, "kind", "resource_id"),)


class Lease(Base):
    """Who may run Ansible on a host. The token only grows, also over releases."""

    __tablename__ = "lease"

    host: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    holder: Mapped[uuid.UUID | None]
    token: Mapped[int] = mapped_column(sa.BigInteger, default=1)
    expires_at: Mapped[datetime]
