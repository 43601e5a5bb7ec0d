"""What happened, for whoever wants to tell others: a signal within the transaction in which it happens."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from typing import Any

from blinker import Signal
from sqlalchemy.orm import Session

#: id → JSON without secrets. ``brand_id``, ``tenant_id`` and ``template_id``, where there are such, are what others
#: filter by.
Facts = dict[uuid.UUID, dict[str, Any]]

#: Receivers are called with the topic and ``session``, ``kind``, ``ids`` and ``facts``, a function that returns the
#: ``Facts`` of some of the ids; what they write is part of the same transaction, and what they raise breaks it.
happened = Signal()

TOPICS = (
    "job_started",
    "job_successful",
    "job_failed",
    "approval_needed",
    "drift_found",
    "shard_healthy",
    "shard_degraded",
    "shard_down",
    "failover_begun",
    "failover_failed",
    "resource_active",
    "resource_failed",
    "resource_gone",
    "resource_moved",
)


def announce(session: Session, topic: str, kind: str, id_: uuid.UUID, facts: dict[str, Any]) -> None:
    """Tell that something of ``TOPICS`` happened to a row of ``kind``; ``facts`` is JSON and holds no secret."""
    announce_many(session, topic, kind, [id_], lambda _: {id_: facts})


def announce_many(
    session: Session, topic: str, kind: str, ids: Collection[uuid.UUID], facts: Callable[[Collection[uuid.UUID]], Facts]
) -> None:
    """Tell the same of many rows. ``facts`` is asked only if somebody wants to know, and only of the rows wanted."""
    if ids:
        happened.send(topic, session=session, kind=kind, ids=ids, facts=facts)
