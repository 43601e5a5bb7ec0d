"""A launch: what a job without a shard runs. The job's row has its state, its times and its end. And firings."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from api.core.crypto import Secret
from api.core.db import Base, JsonObject, now
from api.jobs.queue import DEFAULT


class Launch(Base):
    """One run of a playbook or a module, as it was asked for.

    Nothing here refers to rows that may be changed or deleted before the job is taken, but the inventory, the project
    and the credentials: those are read when the run begins.
    """

    __tablename__ = "launch"

    job_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    template_id: Mapped[uuid.UUID | None]
    #: the template's name at that time; empty for an ad-hoc run
    template: Mapped[str] = mapped_column(sa.String(100), default="")
    schedule_id: Mapped[uuid.UUID | None]
    #: launches of one turn run one after the other, the oldest first
    turn_id: Mapped[uuid.UUID | None]
    relaunch_of: Mapped[uuid.UUID | None]
    #: the run of a workflow whose step it is
    workflow_run_id: Mapped[uuid.UUID | None]
    #: name of the API key, or of the schedule
    requested_by: Mapped[str] = mapped_column(sa.String(128), default="")
    #: of an ad-hoc run; then there is no playbook
    module: Mapped[str] = mapped_column(sa.String(128), default="")
    arguments: Mapped[dict[str, Any]] = mapped_column(JsonObject, default=dict)
    playbook: Mapped[str] = mapped_column(sa.String(200), default="")
    #: null: the platform's own playbooks
    project_id: Mapped[uuid.UUID | None]
    #: what exactly ran: a commit, or the SHA-256 of the playbook's directory; empty until the run began
    revision: Mapped[str] = mapped_column(sa.String(80), default="")
    #: what of the platform's own it is (``api.operations``), over which shards (ids); empty: what somebody launched
    operation: Mapped[str] = mapped_column(sa.String(32), default="", server_default="")
    shards: Mapped[list[str]] = mapped_column(default=list, server_default="[]")
    #: null: the whole platform
    inventory_id: Mapped[uuid.UUID | None]
    limit: Mapped[str] = mapped_column(sa.Text, default="")
    tags: Mapped[list[str]] = mapped_column(default=list)
    skip_tags: Mapped[list[str]] = mapped_column(default=list)
    become: Mapped[bool] = mapped_column(default=False)
    check: Mapped[bool] = mapped_column(default=False)
    diff: Mapped[bool] = mapped_column(default=False)
    verbosity: Mapped[int] = mapped_column(default=0)
    forks: Mapped[int] = mapped_column(default=0)
    timeout: Mapped[int] = mapped_column(default=0)
    #: the workers that listen there run it
    queue: Mapped[str] = mapped_column(sa.String(32), default=DEFAULT, server_default=DEFAULT)
    #: ids
    credentials: Mapped[list[str]] = mapped_column(default=list)
    variables: Mapped[dict[str, Any]] = mapped_column(JsonObject, default=dict)
    #: names and, as encrypted JSON, the values of variables that nobody may read
    secret_names: Mapped[list[str]] = mapped_column(default=list)
    secrets: Mapped[str | None] = mapped_column(Secret)
    #: what its playbook told with set_stats; null: more than is kept
    data: Mapped[dict[str, Any] | None] = mapped_column(JsonObject, default=dict)

    __table_args__ = (
        sa.Index(None, "template_id"),
        sa.Index(None, "schedule_id"),
        sa.Index(None, "turn_id"),
        sa.Index(None, "workflow_run_id"),
        sa.Index(None, "operation"),
    )


class Firing(Base):
    """A time at which a schedule fired, or did not; the key makes it happen once, however many schedulers look."""

    __tablename__ = "firing"

    schedule_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("schedule.id", ondelete="CASCADE"), primary_key=True)
    fires_at: Mapped[datetime] = mapped_column(primary_key=True)
    #: launched, planned, missed, overlapped, refused
    result: Mapped[str] = mapped_column(sa.String(16))
    message: Mapped[str] = mapped_column(sa.Text, default="")
    job_id: Mapped[uuid.UUID | None]
    workflow_run_id: Mapped[uuid.UUID | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
