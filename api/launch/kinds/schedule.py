"""Schedule: a template or a workflow that is launched by the clock."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import marshmallow as ma
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.core.crypto import Secret
from api.core.db import Base, JsonObject, Name, Resource
from api.core.errors import MESSAGES, ApiError, invalid
from api.core.kind import Kind, registry
from api.jobs.sql import read_clock
from api.launch import rules
from api.launch.body import LaunchBody, WorkflowLaunchBody, merged
from api.launch.grammar import label, prose
from api.launch.survey import secret_answers

TIMES = ("rule", "timezone", "starts_at", "enabled")


class Schedule(Resource, Base):
    """When a template or a workflow is launched, and how."""

    __tablename__ = "schedule"

    #: one of both
    template_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("template.id"), info={"once": True})
    workflow_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("workflow.id"), index=True, info={"once": True})
    name: Mapped[str] = mapped_column(Name, unique=True, info={"check": label, "example": "Every night"})
    description: Mapped[str] = mapped_column(sa.Text, default="", info={"check": prose})
    rule: Mapped[str] = mapped_column(
        sa.Text,
        info={
            "check": rules.rule,
            "description": "a recurrence rule, or cron, which becomes one",
            "example": "FREQ=DAILY;BYHOUR=3;BYMINUTE=30",
        },
    )
    timezone: Mapped[str] = mapped_column(
        sa.String(64), default="UTC", info={"check": rules.zone, "example": "Europe/Berlin"}
    )
    #: to the minute; nothing fires before, and COUNT, INTERVAL and what the rule leaves open count from here
    starts_at: Mapped[datetime] = mapped_column(info={"optional": True, "description": "now, if it is left out"})
    enabled: Mapped[bool] = mapped_column(default=True)
    #: what to do with what nobody was there to fire: nothing, or one launch for all of it
    missed: Mapped[str] = mapped_column(sa.String(16), default="skip", info={"choices": ("skip", "once")})
    #: what to do while a launch of before waits or runs: nothing, or a launch that waits for its end
    overlap: Mapped[str] = mapped_column(sa.String(16), default="skip", info={"choices": ("skip", "queue")})
    parameters: Mapped[dict[str, Any]] = mapped_column(
        JsonObject, default=dict, info={"description": "what a launch would say", "example": {"limit": "web"}}
    )
    #: answers to questions of the type password
    secret_answers: Mapped[str | None] = mapped_column(Secret, info={"secret": True, "check": secret_answers})
    next_at: Mapped[datetime | None] = mapped_column(info={"ro": True})
    last_at: Mapped[datetime | None] = mapped_column(info={"ro": True})

    __table_args__ = (sa.Index(None, "next_at"),)


def body_of(row: Any) -> dict[str, Any]:
    """Return what the launches of a schedule say; marshmallow's ValidationError if they could not."""
    body = LaunchBody().load(row.parameters)
    if row.secret_answers is not None:
        body["answers"] = {**body.get("answers", {}), **json.loads(row.secret_answers)}
    return dict(body)


def validate(session: Session, row: Any) -> None:
    """Refuse what could not be launched now, and find the next firing if its times changed."""
    if (row.template_id is None) is (row.workflow_id is None):
        raise invalid("template_id", "or workflow_id is needed, and not both")
    try:
        _check_template(session, row) if row.template_id else _check_workflow(session, row)
    except ma.ValidationError as error:
        raise _refused(error.messages) from None
    moment = read_clock(session)
    row.starts_at = (row.starts_at or moment).astimezone(UTC).replace(second=0, microsecond=0)
    attributes = sa.inspect(row).attrs
    if row.revision is None or any(attributes[name].history.has_changes() for name in TIMES):
        row.next_at = following(row, moment) if row.enabled else None
        if row.enabled and row.next_at is None:
            raise invalid("rule", "never fires")


def _check_template(session: Session, row: Any) -> None:
    template = session.get_one(registry["template"].model, row.template_id)
    secret = {question["variable"] for question in template.survey if question["type"] == "password"}
    given = row.parameters.get("answers")
    if open_ := secret & (given.keys() if isinstance(given, dict) else set()):
        raise invalid("parameters", f"{min(open_)} is a secret; it belongs into secret_answers")
    try:
        merged(template, body_of(row))
    except ApiError as error:
        raise _refused(error.details["json"]) from None


def _check_workflow(session: Session, row: Any) -> None:
    # What follows knows of schedules.
    from api.workflow.runs import acceptable

    if row.overlap == "queue":
        raise invalid("overlap", "must be skip: runs of a workflow do not wait for one another")
    if row.secret_answers is not None:
        raise invalid("secret_answers", "belong to the workflow")
    workflow = session.get_one(registry["workflow"].model, row.workflow_id)
    try:
        acceptable(session, workflow, WorkflowLaunchBody().load(row.parameters)["variables"])
    except ApiError as error:
        raise _refused(error.details["json"]) from None


def following(row: Any, after: datetime) -> datetime | None:
    """Return the next firing behind a time."""
    return next(iter(rules.preview(row.rule, row.timezone, row.starts_at, after, 1)), None)


def _refused(messages: Any) -> ApiError:
    return ApiError(422, MESSAGES[422], details={"json": {"parameters": messages}})


def enable(session: Session, row: Any) -> Iterable[Any]:
    """Let a schedule fire."""
    row.enabled = True
    return ()


def disable(session: Session, row: Any) -> Iterable[Any]:
    """Let a schedule rest."""
    row.enabled = False
    return ()


KIND = registry.add(
    Kind(
        Schedule,
        plural="schedules",
        parent="template_id",
        platform=True,
        filters=("template_id", "workflow_id"),
        actions={"enable": enable, "disable": disable},
        validate=validate,
    )
)
