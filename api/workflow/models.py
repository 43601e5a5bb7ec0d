"""A run of a workflow, and its steps: one per node."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from api.core.crypto import Secret
from api.core.db import Base, Id, JsonObject, JsonObjects, now
from api.workflow.graph import WAITING


class WorkflowRun(Base):
    """One run, as the workflow stood when it was launched; only templates are those of now when a step begins.

    Whoever changes a run or its steps holds the lock of this row. Jobs are locked behind it, never before.
    """

    __tablename__ = "workflow_run"

    id: Mapped[Id]
    workflow_id: Mapped[uuid.UUID]
    #: the workflow's name at that time
    workflow: Mapped[str] = mapped_column(sa.String(100))
    nodes: Mapped[list[dict[str, Any]]] = mapped_column(JsonObjects)
    #: step → answers that nobody may read, as encrypted JSON
    secret_answers: Mapped[str | None] = mapped_column(Secret)
    #: for every step that takes them
    variables: Mapped[dict[str, Any]] = mapped_column(JsonObject, default=dict)
    #: every launch is one in check mode
    check: Mapped[bool] = mapped_column(default=False)
    #: name of the API key, or of the schedule
    requested_by: Mapped[str] = mapped_column(sa.String(128), default="")
    schedule_id: Mapped[uuid.UUID | None]
    #: running, successful, failed, canceled
    state: Mapped[str] = mapped_column(sa.String(16), default="running")
    #: how often it was taken up again
    resumed: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=now)
    ended_at: Mapped[datetime | None]
    #: it is canceled when its last job has ended
    cancel_requested_at: Mapped[datetime | None]
    canceled_by: Mapped[str] = mapped_column(sa.String(128), default="")

    __table_args__ = (
        sa.Index(None, "created_at", "id"),
        sa.Index(None, "workflow_id"),
        sa.Index(None, "schedule_id"),
        sa.Index(None, "ended_at"),
    )


class WorkflowStep(Base):
    """What became of a node in a run."""

    __tablename__ = "workflow_step"

    run_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("workflow_run.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    #: see api.workflow.graph
    state: Mapped[str] = mapped_column(sa.String(16), default=WAITING)
    #: why it failed
    message: Mapped[str] = mapped_column(sa.Text, default="")
    #: of a launch: its job, and what its playbook told with set_stats
    job_id: Mapped[uuid.UUID | None]
    data: Mapped[dict[str, Any]] = mapped_column(JsonObject, default=dict)
    #: of an approval: the name of the API key, what was said, and when nobody can decide any longer
    decided_by: Mapped[str] = mapped_column(sa.String(128), default="")
    comment: Mapped[str] = mapped_column(sa.Text, default="")
    deadline: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]

    __table_args__ = (sa.Index(None, "job_id"), sa.Index(None, "state", "deadline"))
